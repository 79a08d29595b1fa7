//! Admission as a function, without TLS and HTTP.

#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark fails by panicking")]

mod reviews;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use multigres_webhooks::admit::{Phase, handle};

fn handler(criterion: &mut Criterion) {
    let admission = reviews::admission();
    let mut group = criterion.benchmark_group("handler");
    for subject in reviews::subjects() {
        for phase in [Phase::Mutate, Phase::Validate] {
            let body = subject.body(phase);
            let answer = handle(phase, &body, &admission).unwrap();
            assert_eq!(answer.review.code() == 200, subject.is_allowed(phase), "{}", subject.name);
            group.throughput(Throughput::Bytes(body.len() as u64));
            group.bench_with_input(BenchmarkId::new(subject.name, phase.as_str()), &body, |bencher, body| {
                bencher.iter(|| {
                    let answer = handle(phase, black_box(body), &admission).unwrap();
                    serde_json::to_vec(&answer.review).unwrap()
                });
            });
        }
    }
}

criterion_group!(benches, handler);
criterion_main!(benches);

//! Measurements as a table of Markdown.

use std::fmt::Write;

use crate::plan::Measurement;

/// One line for each sort of measurement, with the medians of its runs.
pub fn markdown(measurements: &[Measurement]) -> String {
    let mut table = String::from(
        "| review | phase | KB | connections | requests/s | p50 µs | p95 µs | p99 µs | CPU µs | RSS before MB | peak MB |\n\
         |---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    let sort = |measurement: &Measurement| (measurement.subject, measurement.phase, measurement.connections);
    let mut sorts: Vec<_> = measurements.iter().map(sort).collect();
    let mut seen = std::collections::HashSet::new();
    sorts.retain(|sort| seen.insert(*sort));
    for (subject, phase, connections) in sorts {
        let runs: Vec<&Measurement> =
            measurements.iter().filter(|run| sort(run) == (subject, phase, connections)).collect();
        let of = |value: fn(&Measurement) -> f64| median(runs.iter().map(|run| value(run)).collect());
        let line = writeln!(
            table,
            "| {subject} | {phase} | {:.1} | {connections} | {:.0} | {:.0} | {:.0} | {:.0} | {:.1} | {:.0} | {:.0} |",
            of(|run| run.size as f64 / 1e3),
            of(|run| run.requests_per_second),
            of(|run| run.p50),
            of(|run| run.p95),
            of(|run| run.p99),
            of(|run| run.cpu),
            of(|run| run.resident / 1e6),
            of(|run| run.peak / 1e6),
        );
        line.expect("text can be written to");
    }
    table
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

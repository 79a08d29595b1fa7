//! libFuzzer's side of the targets.

pub use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

/// Has libFuzzer drive a target: with its own mutations, and every other time with those that know JSON.
#[macro_export]
macro_rules! target {
    ($name:ident) => {
        $crate::fuzz_target!(|data: &[u8]| fuzz::$name(data));
        $crate::fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
            $crate::mutate(data, size, max_size, seed)
        });
    };
}

/// Changes an input in place, and returns its new length.
pub fn mutate(data: &mut [u8], size: usize, max_size: usize, seed: u32) -> usize {
    let (seed, ours) = (u64::from(seed / 2), seed.is_multiple_of(2));
    let neighbour = fuzz::mutated(&data[..size], seed);
    if !ours || neighbour.len() > max_size {
        return fuzzer_mutate(data, size, max_size);
    }
    data[..neighbour.len()].copy_from_slice(&neighbour);
    neighbour.len()
}

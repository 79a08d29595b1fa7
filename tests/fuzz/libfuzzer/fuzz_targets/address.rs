#![no_main]

libfuzzer::target!(address);

#![no_main]

libfuzzer::target!(quantity);

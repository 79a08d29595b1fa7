#![no_main]

libfuzzer::target!(record);

#![no_main]

libfuzzer::target!(codec);

#![no_main]

libfuzzer::target!(path);

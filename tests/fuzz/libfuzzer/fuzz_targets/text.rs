#![no_main]

libfuzzer::target!(text);

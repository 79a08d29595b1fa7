#![no_main]

libfuzzer::target!(handler);

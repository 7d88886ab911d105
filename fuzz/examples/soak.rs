//! Runs one target over random inputs for some time, on the stable toolchain: `soak TARGET SECONDS [SEED]`.
//!
//! It knows nothing of coverage, as a fuzzer does, but needs nothing either. An input that fails is printed in hexadecimal.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a command"
)]

use std::panic::catch_unwind;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use sim::Random;

/// Octets of an input at most.
const LONGEST: u64 = 120;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| arguments.get(at).and_then(|text| text.parse().ok());
    let target = arguments.first().map(String::as_str);
    let target = fuzz::TARGETS.iter().find(|(name, _)| Some(*name) == target);
    let (Some((name, body)), Some(seconds)) = (target, number(1)) else {
        eprintln!("soak TARGET SECONDS [SEED]");
        return ExitCode::FAILURE;
    };
    let seed = number(2).unwrap_or(1);
    let mut random = Random::new(seed);
    let (start, mut runs) = (Instant::now(), 0_u64);
    while start.elapsed() < Duration::from_secs(seconds) {
        let mut octets = vec![0; usize::try_from(random.below(LONGEST)).unwrap_or(0)];
        random.fill(&mut octets);
        runs += 1;
        if catch_unwind(|| body(&octets)).is_err() {
            let text: String = octets.iter().map(|octet| format!("{octet:02x}")).collect();
            eprintln!("{name} fails on run {runs} of seed {seed}: {text}");
            return ExitCode::FAILURE;
        }
    }
    println!("{name}: {runs} runs passed, seed {seed}");
    ExitCode::SUCCESS
}

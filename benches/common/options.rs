//! The command-line options `--rounds N`, `--requests N` and `--seconds N`.

pub struct Options {
    pub rounds: usize,
    pub requests: usize,
    pub seconds: u64,
}

impl Options {
    /// The options, with this default for the rounds; `None` if cargo runs this as a test.
    pub fn read(rounds: usize) -> Option<Self> {
        let words: Vec<String> = std::env::args().skip(1).collect();
        let value = |name: &str| {
            let at = words.iter().position(|word| word == name)?;
            Some(words.get(at + 1)?.parse().expect("a number"))
        };
        words.iter().any(|word| word == "--bench").then(|| Self {
            rounds: value("--rounds").unwrap_or(rounds),
            requests: value("--requests").unwrap_or(200_000),
            seconds: value("--seconds").map_or(5, |seconds| seconds as u64),
        })
    }
}

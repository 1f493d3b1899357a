//! The command-line options `--rounds N`, `--requests N` and `--seconds N`.

pub struct Options {
    pub rounds: usize,
    pub requests: usize,
    pub seconds: u64,
}

impl Options {
    /// The options, with this default for the rounds; `None` if cargo runs this as a test. An unknown option ends the program.
    pub fn read(rounds: usize) -> Option<Self> {
        let words: Vec<String> = std::env::args().skip(1).collect();
        let is_known = |word: &&String| {
            let names = ["--bench", "--rounds", "--requests", "--seconds"];
            names.contains(&word.as_str()) || word.parse::<u64>().is_ok()
        };
        if let Some(word) = words.iter().find(|word| !is_known(word)) {
            eprintln!("{word} is not an option: they are --rounds N, --requests N and --seconds N");
            std::process::exit(2);
        }
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

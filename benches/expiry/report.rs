//! The results and their table.

use std::fmt::Write;

use plotters::prelude::IntoLogRange;
use plotters::style::RGBColor;

use crate::chart::{self, Axes, Curve};
use crate::machine;
use crate::numbers::thousands;

/// Each observed change: milliseconds after the deadline, and the units returned from then on.
pub type Line = Vec<(f64, usize)>;

/// The targets, in ms.
const ON_TIME_MS: f64 = 150.0;
const STORM_MS: f64 = 2_000.0;
const P99_MS: f64 = 5.0;

/// The start of the chart's log scale, in ms.
const FIRST_MS: f64 = 1.0;
/// The colour of the alternative without the module.
const PLAIN: RGBColor = RGBColor(194, 65, 12);

/// The results of the first part.
pub struct OnTime {
    pub keys: usize,
    pub count: usize,
    pub rounds: Vec<Line>,
    pub plain: Line,
    /// How long the alternative without the module was observed.
    pub seconds: u64,
}

/// One round of the second part.
pub struct Storm {
    pub back_ms: f64,
    pub before: Latencies,
    /// Latencies from the deadline until all units are back.
    pub during: Latencies,
    /// Those of them after the first returned unit. Until the server's cron runs, nothing slows the GETs down, and many fit into
    /// that time.
    pub busy: Latencies,
}

/// Latencies in ms.
pub struct Latencies {
    pub count: usize,
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
}

impl Latencies {
    /// Each percentile is a measured latency: that percentage of latencies is not above it.
    pub fn of(mut seen: Vec<f64>) -> Self {
        seen.sort_by(f64::total_cmp);
        let percentile = |percent: usize| {
            let place = (seen.len() * percent).div_ceil(100).max(1) - 1;
            seen.get(place).copied().unwrap_or(f64::NAN)
        };
        Self { count: seen.len(), p50: percentile(50), p99: percentile(99), max: percentile(100) }
    }
}

/// One RESERVE next to overdue reservations.
pub struct Attempt {
    pub reply: String,
    /// Reservations that it released.
    pub released: usize,
    /// The server's own time for it.
    pub server_us: f64,
    /// Round-trip time of the RESERVE between two INFO commands, and of a PING in its place.
    pub burst_us: f64,
    pub ping_us: f64,
}

/// All results.
pub struct Report {
    pub typed: String,
    pub server: String,
    pub load: (String, String),
    pub holds: usize,
    pub on_time: OnTime,
    pub storms: Vec<Storm>,
    pub attempts: Vec<[Attempt; 2]>,
}

impl Report {
    /// The tables as Markdown.
    pub fn markdown(&self) -> String {
        let mut text = String::from("# How quickly units return\n\nWritten by `make bench-expiry`.\n\n");
        self.write_machine(&mut text).unwrap();
        self.write_on_time(&mut text).unwrap();
        self.write_storm(&mut text).unwrap();
        self.write_attempts(&mut text).unwrap();
        text
    }

    /// Draws the module's median round, and the alternative without the module: units back over the time, on a log scale.
    pub fn draw(&self) {
        let OnTime { count, rounds, plain, seconds, .. } = &self.on_time;
        let middle = median(rounds.iter().map(back).collect());
        let round = rounds.iter().find(|round| back(round) >= middle).unwrap();
        let last_ms = *seconds as f64 * 1000.0;
        let curves = [
            Curve {
                name: format!(
                    "redis-inventory: all after {middle:.0} ms (median of {} rounds)",
                    rounds.len()
                ),
                colour: chart::OWN,
                points: steps(round, last_ms),
            },
            Curve {
                name: format!(
                    "plain TTL and a listener: {} after {seconds} s",
                    units_at(plain, f64::INFINITY)
                ),
                colour: PLAIN,
                points: steps(plain, last_ms),
            },
        ];
        chart::panels("stock-back.svg", (760, 380), 1, |_, area| {
            let axes = Axes {
                x: (FIRST_MS..last_ms).log_scale(),
                y: 0..*count,
                x_name: "seconds after the deadline (log scale)",
                y_name: format!("units back of {}", thousands(*count)),
            };
            chart::curves(area, axes, &|at_ms| (at_ms / 1000.0).to_string(), &curves);
        });
    }

    fn write_machine(&self, text: &mut String) -> std::fmt::Result {
        let command = format!("scripts/bench.sh expiry {}", self.typed);
        writeln!(text, "| | |\n| --- | --- |")?;
        writeln!(text, "| machine | {} |", machine::machine())?;
        let (before, after) = &self.load;
        writeln!(text, "| load of the machine (1 min) | {before} before the run, {after} after it |")?;
        writeln!(text, "| server | {}, `hz 10`, nothing saved, on the same machine |", self.server)?;
        writeln!(text, "| command | `{}` |", command.trim())
    }

    fn write_on_time(&self, text: &mut String) -> std::fmt::Result {
        let OnTime { keys, count, rounds, plain, seconds } = &self.on_time;
        let all: Vec<f64> = rounds.iter().map(back).collect();
        let first: Vec<f64> = rounds.iter().map(|round| round[0].0).collect();
        let within = |line: &Line| units_at(line, ON_TIME_MS);
        let fewest = rounds.iter().map(within).min().unwrap();
        let plain_units = units_at(plain, f64::INFINITY);
        let plain_first = plain.first().map_or("none".to_owned(), |&(at, _)| format!("{at:.0} ms"));
        let plain_all =
            if plain_units == *count { format!("{:.0} ms", back(plain)) } else { "not seen".to_owned() };
        let worst = highest(&all);
        writeln!(
            text,
            "\n## On time\n\n{} reservations of one unit have the same deadline, beside {} live keys with a TTL. The table shows when \
             their units are back after the deadline. With the module: {} rounds on one server, in which \
             `stock:available` is read every millisecond. Without it: one round of keys with the same deadline, and a \
             listener to `expired` events that counts one unit for each.\n",
            thousands(*count),
            thousands(*keys),
            rounds.len()
        )?;
        writeln!(text, "| | redis-inventory | plain TTL and a listener |\n| --- | ---: | ---: |")?;
        writeln!(text, "| first unit back, median | {:.0} ms | {plain_first} |", median(first))?;
        writeln!(text, "| all back, median | {:.0} ms | {plain_all} |", median(all.clone()))?;
        writeln!(text, "| all back, worst round | {worst:.0} ms | {plain_all} |")?;
        writeln!(
            text,
            "| back within {ON_TIME_MS:.0} ms, worst round | {} | {} |",
            thousands(fewest),
            thousands(within(plain))
        )?;
        writeln!(
            text,
            "| back within {seconds} s | {} of {} | {} of {} |",
            thousands(*count),
            thousands(*count),
            thousands(plain_units),
            thousands(*count)
        )?;
        writeln!(
            text,
            "\nTarget: all back within {ON_TIME_MS:.0} ms, in each round: {}.",
            met(worst, ON_TIME_MS)
        )?;
        writeln!(text, "\n![stock back over time](stock-back.svg)")
    }

    fn write_storm(&self, text: &mut String) -> std::fmt::Result {
        let of = |figure: fn(&Storm) -> f64| self.storms.iter().map(figure).collect::<Vec<f64>>();
        writeln!(
            text,
            "\n## Storm\n\n{} reservations of one unit, of 100 products, have the same deadline. There are {} rounds, each on a new \
             server. The counters are added up every 20 ms. Meanwhile one client reads a plain key, one GET after the \
             other.\n",
            thousands(self.holds),
            self.storms.len()
        )?;
        writeln!(text, "| ms | median | min | max | target |\n| --- | ---: | ---: | ---: | --- |")?;
        let mut row = |name: &str, figures: Vec<f64>, places: usize, target: Option<f64>| {
            // The median has to meet the target; the other rounds are shown for comparison.
            let target = target.map_or(String::new(), |target| {
                format!("{target:.0}: {}", met(median(figures.clone()), target))
            });
            let (low, high) = (lowest(&figures), highest(&figures));
            writeln!(
                text,
                "| {name} | {:.places$} | {low:.places$} | {high:.places$} | {target} |",
                median(figures)
            )
        };
        row("all units back", of(|storm| storm.back_ms), 0, Some(STORM_MS))?;
        row("GET in the second before: p50", of(|storm| storm.before.p50), 3, None)?;
        row("GET in the second before: p99", of(|storm| storm.before.p99), 3, None)?;
        row("GET in the second before: max", of(|storm| storm.before.max), 3, None)?;
        row("GET from the deadline on: p50", of(|storm| storm.during.p50), 3, None)?;
        row("GET from the deadline on: p99", of(|storm| storm.during.p99), 3, Some(P99_MS))?;
        row("GET from the deadline on: max", of(|storm| storm.during.max), 3, None)?;
        row("GET since the first unit was back: p50", of(|storm| storm.busy.p50), 3, None)?;
        row("GET since the first unit was back: p99", of(|storm| storm.busy.p99), 3, None)?;
        let counts: Vec<String> = self
            .storms
            .iter()
            .map(|storm| format!("{} ({})", thousands(storm.during.count), thousands(storm.busy.count)))
            .collect();
        writeln!(
            text,
            "\nGETs from the deadline on, by round (and since the first unit was back): {}.",
            counts.join("; ")
        )
    }

    fn write_attempts(&self, text: &mut String) -> std::fmt::Result {
        writeln!(
            text,
            "\n## One RESERVE beside due reservations\n\n{} reservations of one unit, of one product, are due and not released yet: a client reads the server's \
             clock until the deadline has passed, and sends a RESERVE of 5 units more than are free. There are {} \
             rounds, each on a new server; the table shows medians, and the slowest in brackets. The server's time is \
             that of `INFO commandstats`. The round trip is that of `INFO inv`, RESERVE and `INFO inv` in one write.\n",
            thousands(self.holds),
            self.attempts.len()
        )?;
        writeln!(
            text,
            "| sku | reply | released by it | server's time, µs | round trip, µs | the same with PING, µs |\n\
             | --- | --- | ---: | ---: | ---: | ---: |"
        )?;
        for (number, name) in [(0, "has no due reservations"), (1, "has the due reservations")] {
            let of = |figure: fn(&Attempt) -> f64| {
                self.attempts.iter().map(|round| figure(&round[number])).collect::<Vec<f64>>()
            };
            let both = |figures: Vec<f64>| {
                let slowest = highest(&figures);
                format!("{:.0} ({slowest:.0})", median(figures))
            };
            let mut replies: Vec<&str> =
                self.attempts.iter().map(|round| round[number].reply.as_str()).collect();
            replies.dedup();
            let mut released: Vec<String> =
                self.attempts.iter().map(|round| round[number].released.to_string()).collect();
            released.dedup();
            writeln!(
                text,
                "| {name} | {} | {} | {} | {} | {} |",
                replies.join(", "),
                released.join(", "),
                both(of(|attempt| attempt.server_us)),
                both(of(|attempt| attempt.burst_us)),
                both(of(|attempt| attempt.ping_us))
            )?;
        }
        Ok(())
    }
}

/// The corners of a line whose units stay the same until the next observed change.
fn steps(line: &Line, last_ms: f64) -> Vec<(f64, usize)> {
    let mut points = vec![(FIRST_MS, 0)];
    let mut units = 0;
    for &(at_ms, next) in line {
        let at_ms = at_ms.clamp(FIRST_MS, last_ms);
        points.extend([(at_ms, units), (at_ms, next)]);
        units = next;
    }
    points.push((last_ms, units));
    points
}

/// When the last unit that returned was back.
fn back(line: &Line) -> f64 {
    line.last().map_or(f64::INFINITY, |&(at, _)| at)
}

fn units_at(line: &Line, at_ms: f64) -> usize {
    line.iter().take_while(|(at, _)| *at <= at_ms).last().map_or(0, |&(_, units)| units)
}

fn met(figure: f64, target: f64) -> &'static str {
    if figure <= target { "met" } else { "not met" }
}

/// The median; of an even number of figures, the mean of the middle two.
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    if figures.len().is_multiple_of(2) {
        f64::midpoint(figures[middle - 1], figures[middle])
    } else {
        figures[middle]
    }
}

fn lowest(figures: &[f64]) -> f64 {
    figures.iter().copied().fold(f64::INFINITY, f64::min)
}

fn highest(figures: &[f64]) -> f64 {
    figures.iter().copied().fold(0.0, f64::max)
}

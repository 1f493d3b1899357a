//! The tables and charts.

use std::fmt::Write;

use crate::chart::{self, Bar, Group};
use crate::contenders::{
    AS_MUCH, COMMIT, LUA, MODULE, PING, REMEMBERS, RESERVE, RESERVE_5, RESERVE_MILLION, ROLLBACK, SERVER,
};
use crate::load::{Figures, spread};
use crate::machine;
use crate::options::Options;

/// The figures of one contender, by round.
pub struct Row {
    pub operation: &'static str,
    pub by: &'static str,
    pub figures: Vec<Figures>,
}

/// The results in one configuration.
pub struct Part {
    pub aof: &'static str,
    pub pipeline: usize,
    pub rows: Vec<Row>,
}

/// What is owed and aimed for: AOF, operation, rival, and the processor time of the rival divided by that of the module.
const TARGETS: [(&str, &str, &str, f64, f64); 9] = [
    ("no", RESERVE, LUA, 1.4, 1.8),
    ("everysec", RESERVE, LUA, 1.7, 2.2),
    ("no", RESERVE, AS_MUCH, 2.8, 4.0),
    ("no", RESERVE_5, LUA, 1.9, 3.0),
    ("no", RESERVE_MILLION, LUA, 1.1, 1.5),
    ("no", COMMIT, LUA, 0.95, 1.2),
    ("everysec", COMMIT, LUA, 1.2, 1.5),
    ("no", COMMIT, REMEMBERS, 1.4, 1.7),
    ("everysec", COMMIT, REMEMBERS, 1.7, 2.0),
];

/// The operations in the charts. Others, such as plain commands, would make all of their bars short.
const CHARTED: [&str; 5] = [RESERVE, RESERVE_5, RESERVE_MILLION, COMMIT, ROLLBACK];

/// The throughput of RESERVE as a share of that of PING without a pipeline, AOF off.
const OF_PING: f64 = 0.9;

fn per_second(figures: &Figures) -> f64 {
    figures.per_second / 1000.0
}

fn cpu_us(figures: &Figures) -> f64 {
    figures.cpu_us
}

impl Part {
    fn row(&self, operation: &str, by: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.operation == operation && row.by == by)
    }

    /// The processor time of a rival divided by that of the module for the same operation. It is the median of the ratios within
    /// a round, because the contenders of a round run at about the same time.
    fn ratio(&self, operation: &str, by: &str) -> Option<f64> {
        let (rival, own) = (self.row(operation, by)?, self.row(operation, MODULE)?);
        let mut ratios: Vec<f64> =
            rival.figures.iter().zip(&own.figures).map(|(rival, own)| rival.cpu_us / own.cpu_us).collect();
        ratios.sort_by(f64::total_cmp);
        Some(ratios[ratios.len() / 2])
    }

    fn setting(&self) -> String {
        let aof = if self.aof == "no" { "off" } else { self.aof };
        format!("AOF {aof}, pipeline {}", self.pipeline)
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "## {}\n", self.setting())?;
        writeln!(
            text,
            "| operation | by | CPU µs | min | max | rival / module | 1000/s | min | max | p50 ms | p99 ms | µs a call |\n\
             | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
        )?;
        for Row { operation, by, figures } in &self.rows {
            let [least, cpu, most] = spread(figures, cpu_us);
            let [slowest, rate, fastest] = spread(figures, per_second);
            let ratio = if *by == MODULE { None } else { self.ratio(operation, by) };
            writeln!(
                text,
                "| {operation} | {by} | {cpu:.2} | {least:.2} | {most:.2} | {} | {rate:.0} | {slowest:.0} | {fastest:.0} \
                 | {:.2} | {:.2} | {:.2} |",
                ratio.map_or(String::new(), |ratio| format!("{ratio:.2}")),
                spread(figures, |figures| figures.p50_ms)[1],
                spread(figures, |figures| figures.p99_ms)[1],
                spread(figures, |figures| figures.us_a_call)[1]
            )?;
        }
        text.push('\n');
        Ok(())
    }

    /// The bars of a chart: the module and its rivals side by side.
    fn groups(&self, of: fn(&Figures) -> f64) -> Vec<Group> {
        let mut groups: Vec<Group> = vec![];
        for row in self.rows.iter().filter(|row| CHARTED.contains(&row.operation)) {
            let bar =
                Bar { label: row.by.to_owned(), is_own: row.by == MODULE, spread: spread(&row.figures, of) };
            match groups.last_mut().filter(|group| group.title == row.operation) {
                Some(group) => group.bars.push(bar),
                None => groups.push(Group { title: row.operation.to_owned(), bars: vec![bar] }),
            }
        }
        groups
    }
}

/// All results.
pub struct Report {
    pub options: Options,
    pub server: String,
    /// The load of the machine before and after.
    pub load: [String; 2],
    pub parts: Vec<Part>,
}

impl Report {
    fn part(&self, aof: &str, pipeline: usize) -> &Part {
        self.parts.iter().find(|part| part.aof == aof && part.pipeline == pipeline).unwrap()
    }

    /// Prints the tables and saves them with the charts.
    pub fn save(&self) {
        // For example valkey-9.1.
        let file =
            self.server.to_lowercase().split('.').take(2).collect::<Vec<_>>().join(".").replace(' ', "-");
        let text = self.markdown(&file).unwrap();
        print!("{text}");
        chart::save_text(&format!("throughput-{file}.md"), text.trim_end());
        let off = self.part("no", 32);
        chart::bars(
            &format!("throughput-{file}.svg"),
            &format!("Thousand operations a second, {}, {}", self.server, off.setting()),
            &off.groups(per_second),
        );
        let everysec = self.part("everysec", 32);
        chart::bars(
            &format!("cpu-{file}.svg"),
            &format!(
                "Processor time of the server for an operation in µs, {}, {}",
                self.server,
                everysec.setting()
            ),
            &everysec.groups(cpu_us),
        );
    }

    fn markdown(&self, file: &str) -> Result<String, std::fmt::Error> {
        let Options { rounds, requests, .. } = self.options;
        let mut text = format!(
            "# The module, Lua scripts and plain commands, {}\n\nWritten by `make bench`.\n\n",
            self.server
        );
        let [before, after] = &self.load;
        writeln!(text, "| | |\n| --- | --- |\n| machine | {} |", machine::machine())?;
        writeln!(text, "| load (1 min) | {before} before, {after} after |")?;
        writeln!(
            text,
            "| command | `scripts/bench.sh throughput --rounds {rounds} --requests {requests}` |\n"
        )?;
        writeln!(
            text,
            "50 clients of the server's own benchmark program on the same machine, {requests} requests a round (a quarter of \
             that without a pipeline). There are {rounds} rounds; the contenders take turns, each on empty servers, and the \
             tables show medians. The server of the rivals does not have the module. All requests are for one product, \
             or one product for each line; ids are never repeated. COMMIT and ROLLBACK end reservations that were made \
             before the measurement, and *again* repeats all requests with the same ids. In the rows for two commands \
             (RESERVE and COMMIT), a pair counts as one request, and its times are sums.\n\n\
             *CPU µs* is the processor time of the server's main thread (`used_cpu_user_main_thread` and \
             `used_cpu_sys_main_thread` of INFO) divided by the number of operations. It includes reading the request, \
             replying, and writing the AOF, and other work on the machine changes it least. *Rival / module* compares it: \
             above 1, the module takes less. Each ratio is taken within a round, and the table shows the median. *µs a call* is the wall-clock time of INFO commandstats, without all that.\n\n\
             *Lua* is the script that shops use; its commit and its rollback look at nothing and remember nothing. *Lua that \
             remembers* writes an outcome, so that a retry gets the same answer. *Lua that does as much* also answers a \
             retry of RESERVE, records what is held and until when, and keeps the deadlines in order.\n"
        )?;
        self.write_targets(&mut text)?;
        writeln!(text, "![throughput](throughput-{file}.svg)\n\n![processor time](cpu-{file}.svg)\n")?;
        for part in &self.parts {
            part.write(&mut text)?;
        }
        Ok(text)
    }

    fn write_targets(&self, text: &mut String) -> std::fmt::Result {
        writeln!(
            text,
            "## Targets\n\n*Owed* is the least that the project wants to reach, and *aim* is what it would like to reach. The \
             ratios of processor time are those of the tables below.\n\n\
             | | measured | owed | aim | |\n| --- | ---: | ---: | ---: | --- |"
        )?;
        for (aof, operation, by, owed, aim) in TARGETS {
            let part = self.part(aof, 32);
            let measured = part.ratio(operation, by).expect("measured");
            let verdict = match measured {
                _ if measured >= aim => "aim met",
                _ if measured >= owed => "met",
                _ => "not met",
            };
            writeln!(
                text,
                "| CPU of {operation}, {by} / module, {} | {measured:.2} | {owed:.2} | {aim:.2} | {verdict} |",
                part.setting()
            )?;
        }
        let single = self.part("no", 1);
        let [own, ping] = [(RESERVE, MODULE), (PING, SERVER)].map(|(operation, by)| {
            spread(&single.row(operation, by).expect("measured").figures, per_second)[1]
        });
        let verdict = if own / ping >= OF_PING { "aim met" } else { "not met" };
        writeln!(
            text,
            "| throughput of RESERVE / of PING, {} | {:.2} | {OF_PING:.2} | {OF_PING:.2} | {verdict} |\n",
            single.setting(),
            own / ping
        )
    }
}

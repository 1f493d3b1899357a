//! The results and their tables.

use crate::numbers::thousands;
use std::fmt::Write;

use crate::hot::{CUSTOMERS, Hot, SHOPS, Sale, UNITS};
use crate::{CONNECTIONS, Kind, LARGE, PIPELINES, SLOTS, TALKATIVE_MS, WATCHED, machine};

/// Masters of the hypothetical cluster.
const MANY: usize = 100;

/// The results of one load.
#[derive(Clone, Copy)]
pub struct Figures {
    pub per_second: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub us_a_call: f64,
    /// Cores used: by all servers of the configuration together, and by the load.
    pub servers_cpu: f64,
    pub load_cpu: Option<f64>,
    /// Cores used by other work on the machine, or taken by its host.
    pub others_cpu: Option<f64>,
}

impl Figures {
    /// Commands per processor second of the servers.
    fn per_core(&self) -> f64 {
        self.per_second / self.servers_cpu
    }
}

/// One command in one configuration, round by round.
pub struct Row {
    pub kind: Kind,
    pub pipeline: usize,
    pub side: String,
    pub figures: Vec<Figures>,
}

impl Row {
    fn middle(&self, of: impl Fn(&Figures) -> f64) -> f64 {
        middle(self.figures.iter().map(of).collect())
    }
}

/// What idle servers consume, per node and second.
pub struct Idle {
    pub nodes: usize,
    pub is_cluster: bool,
    pub cpu_ms: f64,
    pub messages: f64,
    pub bytes: f64,
    /// Size of the reply to CLUSTER NODES of each node.
    pub nodes_bytes: f64,
}

/// All results.
pub struct Report {
    pub command: String,
    pub server: String,
    pub load: (String, String),
    pub rounds: usize,
    pub requests: usize,
    pub rows: Vec<Row>,
    pub hot: Vec<Hot>,
    pub rest: [Idle; 4],
}

const ALONE: &str = "no cluster";

impl Report {
    /// The tables as Markdown.
    pub fn markdown(&self) -> String {
        let mut text = String::from("# The module in a cluster\n\nWritten by `make bench-cluster`.\n\n");
        self.write_head(&mut text).unwrap();
        self.write_ratios(&mut text).unwrap();
        for pipeline in PIPELINES {
            self.write_rows(&mut text, pipeline).unwrap();
        }
        self.write_hot(&mut text).unwrap();
        self.write_paper(&mut text).unwrap();
        text
    }

    fn row(&self, kind: Kind, pipeline: usize, side: &str) -> &Row {
        let wanted = |row: &&Row| row.kind == kind && row.pipeline == pipeline && row.side == side;
        self.rows.iter().find(wanted).expect("measured")
    }

    fn write_head(&self, text: &mut String) -> std::fmt::Result {
        let (before, after) = &self.load;
        writeln!(text, "| | |\n| --- | --- |\n| machine | {} |", machine::machine())?;
        writeln!(text, "| server | {} |\n| load (1 min) | {before} before, {after} after |", self.server)?;
        writeln!(text, "| command | `{}` |\n", self.command)?;
        writeln!(
            text,
            "{CONNECTIONS} connections for all masters together, from one thread for each master on the same machine, \
             {} requests a round (a quarter of that without a pipeline). There are {} rounds; the settings take \
             turns, each on empty servers, and the tables show medians. There is one product in each of the {} slots; \
             ids and products share a tag, and a reservation has one line. The same commands in the same order go to \
             a server outside a cluster (`inv.key-style tagged`). GET and COMMIT are for the reservations that were \
             made before. SET stores the same JSON on servers without the module. AOF is off. The server's time is \
             that of `INFO commandstats`; cores are those of `INFO cpu` and of the threads' own clocks during the \
             load.\n",
            thousands(self.requests),
            self.rounds,
            thousands(SLOTS)
        )?;
        let others: Option<Vec<f64>> =
            self.rows.iter().flat_map(|row| &row.figures).map(|figures| figures.others_cpu).collect();
        let others = others.map_or("unknown".to_owned(), |others| with_ends(&others, 2));
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        writeln!(
            text,
            "**What limits here:** the servers and the load share {cores} cores. With one master, the master and the load have a core each; \
             with more masters, the throughput shows the limit of the machine and not of the cluster. The column \
             *1000 a core* shows what a further master would add: commands for each second of the servers' processor \
             time, on any core. Microseconds a call are wall-clock time: a server that loses its core in the middle \
             of a call counts the time until it has a core again. With more servers than cores, they therefore say \
             more about the machine than about the command. Other work on the machine during the load, in cores: \
             {others}.\n"
        )
    }

    fn write_ratios(&self, text: &mut String) -> std::fmt::Result {
        writeln!(
            text,
            "## Ratios\n\nEach ratio is taken within a round; the table shows the median of the rounds, and the lowest and \
             highest. In a cluster the server looks up the slot of a command before the call, which is part of the \
             throughput but not of µs a call. *1000 a core* changes least if other work runs on the machine.\n"
        )?;
        writeln!(text, "| | pipeline 32 | pipeline 1 |\n| --- | ---: | ---: |")?;
        let call: fn(&Figures) -> f64 = |figures| figures.us_a_call;
        let rate: fn(&Figures) -> f64 = |figures| figures.per_second;
        let mut line = |what: String, one: (Kind, &str), other: (Kind, &str), of: fn(&Figures) -> f64| {
            let [many, single] = PIPELINES.map(|pipeline| {
                let [one, other] = [one, other].map(|(kind, side)| &self.row(kind, pipeline, side).figures);
                with_ends(
                    &one.iter().zip(other).map(|(one, other)| of(one) / of(other)).collect::<Vec<f64>>(),
                    2,
                )
            });
            writeln!(text, "| {what} | {many} | {single} |")
        };
        let core: fn(&Figures) -> f64 = Figures::per_core;
        for (what, of) in [("µs a call", call), ("throughput", rate), ("1000 a core", core)] {
            for kind in [Kind::Reserve, Kind::Get, Kind::Commit, Kind::Set] {
                let what = format!("{what}, {}, 1 master / no cluster", kind.name());
                line(what, (kind, "1 master"), (kind, ALONE), of)?;
            }
        }
        let one = (Kind::Reserve, "1 master");
        for side in ["2 masters", "3 masters"] {
            let many = (Kind::Reserve, side);
            line(format!("throughput, INV.RESERVE, {side} / 1 master"), many, one, rate)?;
            line(format!("1000 a core, INV.RESERVE, {side} / 1 master"), many, one, core)?;
        }
        for side in [ALONE, "1 master", "2 masters", "3 masters"] {
            let what = format!("throughput, INV.RESERVE / SET, {side}");
            line(what, (Kind::Reserve, side), (Kind::Set, side), rate)?;
        }
        text.push('\n');
        Ok(())
    }

    fn write_rows(&self, text: &mut String, pipeline: usize) -> std::fmt::Result {
        writeln!(text, "## Pipeline {pipeline}\n")?;
        writeln!(
            text,
            "| | 1000/s, median | min | max | p50 ms | p99 ms | µs a call | servers, cores | load, cores | 1000 a core |"
        )?;
        writeln!(text, "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")?;
        for kind in [Kind::Reserve, Kind::Get, Kind::Commit, Kind::Set] {
            let wanted = |row: &&Row| row.kind == kind && row.pipeline == pipeline;
            for row in self.rows.iter().filter(wanted) {
                let rates: Vec<f64> = row.figures.iter().map(|figures| figures.per_second / 1000.0).collect();
                let [least, most] = ends(&rates);
                let load: Option<Vec<f64>> = row.figures.iter().map(|figures| figures.load_cpu).collect();
                writeln!(
                    text,
                    "| {}, {} | {:.0} | {least:.0} | {most:.0} | {:.2} | {:.2} | {:.2} | {:.2} | {} | {:.0} |",
                    kind.name(),
                    row.side,
                    middle(rates.clone()),
                    row.middle(|figures| figures.p50_ms),
                    row.middle(|figures| figures.p99_ms),
                    row.middle(|figures| figures.us_a_call),
                    row.middle(|figures| figures.servers_cpu),
                    load.map_or("unknown".to_owned(), |load| format!("{:.2}", middle(load))),
                    row.middle(|figures| figures.per_core() / 1000.0)
                )?;
            }
        }
        writeln!(text, "\nTimes are those of a batch of {pipeline}, from its write to its last reply.\n")
    }

    fn hot(&self, tags_are_one: bool, until_sold_out: bool) -> &Hot {
        let wanted = |hot: &&Hot| (hot.tags == 1) == tags_are_one && hot.until_sold_out == until_sold_out;
        self.hot.iter().find(wanted).expect("measured")
    }

    fn write_hot(&self, text: &mut String) -> std::fmt::Result {
        let of = |hot: &Hot, of: &dyn Fn(&Sale) -> f64| middle(hot.sales.iter().map(of).collect());
        let rate = |sale: &Sale| sale.reserved as f64 / sale.seconds / 1000.0;
        writeln!(
            text,
            "## The hot product\n\nAll customers want one product, in a cluster of 3 masters: under one tag, which is in one slot, and \
             under 3 tags (`{{HOT-…}}:SHOE`), one in the slots of each master. There are {SHOPS} shops, each a thread \
             with a connection to every tag and {CUSTOMERS} customers for each tag at once. A customer tries a random \
             tag, and then the others in order if the answer is `INSUFFICIENT`. They make {} reservations of one \
             unit, of a stock that is large enough.\n",
            thousands(self.requests / SHOPS * SHOPS)
        )?;
        writeln!(
            text,
            "| | 1000/s, median | min | max | µs a call | masters, cores | shops, cores | 1000 a core |"
        )?;
        writeln!(text, "| --- | ---: | ---: | ---: | ---: | --- | ---: | ---: |")?;
        for one in [true, false] {
            let hot = self.hot(one, false);
            let rates: Vec<f64> = hot.sales.iter().map(rate).collect();
            let [least, most] = ends(&rates);
            let masters: Vec<String> = (0..hot.sales[0].masters_cpu.len())
                .map(|master| format!("{:.2}", of(hot, &|sale| sale.masters_cpu[master])))
                .collect();
            writeln!(
                text,
                "| {} | {:.0} | {least:.0} | {most:.0} | {:.2} | {} | {} | {:.0} |",
                if one { "one tag" } else { "3 tags" },
                middle(rates.clone()),
                of(hot, &|sale| sale.us_a_call),
                masters.join(", "),
                hot.sales[0].load_cpu.map_or("unknown".to_owned(), |_| {
                    format!("{:.2}", of(hot, &|sale| sale.load_cpu.unwrap_or(f64::NAN)))
                }),
                of(hot, &|sale| rate(sale) / sale.masters_cpu.iter().sum::<f64>())
            )?;
        }
        let ratios: Vec<f64> = self
            .hot(false, false)
            .sales
            .iter()
            .zip(&self.hot(true, false).sales)
            .map(|(three, one)| rate(three) / rate(one))
            .collect();
        writeln!(text, "\n3 tags / one tag, within a round: {}.\n", with_ends(&ratios, 2))?;
        writeln!(
            text,
            "In the second part, {} units are spread evenly over the tags, and every shop continues until one of its \
             customers has received `INSUFFICIENT` from all tags. In each round every unit was reserved once: the run \
             ends with an error if the shops' counts, `INV.AUDIT` and the counters disagree. Extra tries are those of \
             customers who got a unit. *The first at unit* is the number of units that were sold before the first \
             customer needed an extra try.\n",
            thousands(UNITS)
        )?;
        writeln!(
            text,
            "| | ms to sell all | tries a reservation | extra tries | after one refusal | after two | the first at unit | turned away |"
        )?;
        writeln!(text, "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")?;
        for one in [true, false] {
            let hot = self.hot(one, true);
            let count = |count: fn(&Sale) -> usize| {
                let counts: Vec<f64> = hot.sales.iter().map(|sale| count(sale) as f64).collect();
                with_ends(&counts, 0)
            };
            writeln!(
                text,
                "| {} | {:.0} | {:.4} | {} | {} | {} | {} | {} |",
                if one { "one tag" } else { "3 tags" },
                of(hot, &|sale| sale.seconds * 1000.0),
                of(hot, &|sale| 1.0 + sale.extra as f64 / sale.reserved as f64),
                count(|sale| sale.extra),
                count(|sale| sale.after_one),
                count(|sale| sale.after_more),
                if one { "none".to_owned() } else { count(|sale| sale.smooth) },
                count(|sale| sale.turned_away)
            )?;
        }
        text.push('\n');
        Ok(())
    }

    fn write_paper(&self, text: &mut String) -> std::fmt::Result {
        let reserve = self.row(Kind::Reserve, 32, "1 master");
        let commit = self.row(Kind::Commit, 32, "1 master");
        let rate = |row: &Row| row.middle(|figures| figures.per_second);
        let (made, sold) = (rate(reserve), rate(commit));
        let order = 1.0 / (1.0 / made + 1.0 / sold);
        let inside = |row: &Row| 1e6 / row.middle(|figures| figures.us_a_call);
        let inside_order = 1.0 / (1.0 / inside(reserve) + 1.0 / inside(commit));
        let single = self.row(Kind::Reserve, 1, "1 master");
        writeln!(
            text,
            "## On paper\n\nThese figures are computed from the medians above; no such cluster was run. They assume a core of its \
             own for every master, enough clients on other machines, a network that is not the limit, evenly spread \
             keys, and AOF off. Replicas are on other machines; the cost to a master of feeding one is not included.\n"
        )?;
        writeln!(text, "| RESERVE | a second | |\n| --- | ---: | --- |")?;
        let k = |rate: f64| format!("{:.0} thousand", rate / 1000.0);
        let m = |rate: f64| format!("{:.1} million", rate / 1e6);
        writeln!(
            text,
            "| one master, only the command itself | {} | 1 / {:.2} µs a call: the limit of a core |",
            k(inside(reserve)),
            reserve.middle(|figures| figures.us_a_call)
        )?;
        writeln!(
            text,
            "| one master, pipelined | {} | measured, with {:.2} of a core, the load on another; {} for a second of its \
             processor time |",
            k(made),
            reserve.middle(|figures| figures.servers_cpu),
            k(reserve.middle(Figures::per_core))
        )?;
        writeln!(
            text,
            "| one master, unpipelined | {} | commands for a second of its processor time |",
            k(single.middle(Figures::per_core))
        )?;
        writeln!(
            text,
            "| one master, RESERVE and COMMIT, pipelined | {} | a pair is one; only the commands themselves: {} |",
            k(order),
            k(inside_order)
        )?;
        writeln!(text, "| {MANY} masters, pipelined | {} | {MANY} times one |", m(made * MANY as f64))?;
        writeln!(
            text,
            "| {MANY} masters, RESERVE and COMMIT | {} | {MANY} times one |",
            m(order * MANY as f64)
        )?;
        let one_tag = self.hot(true, false);
        let hot = middle(one_tag.sales.iter().map(|sale| sale.reserved as f64 / sale.seconds).collect());
        writeln!(
            text,
            "| one product, however many masters | {} | measured with one tag: it is in one slot of one master, whose caches hold it |",
            k(hot)
        )?;
        for tags in [3, 10, MANY] {
            writeln!(
                text,
                "| one product under {tags} tags on as many masters | {} | {tags} times one tag; a customer who finds a tag empty tries another |",
                m(hot * tags as f64)
            )?;
        }
        self.write_gossip(text)
    }

    fn write_gossip(&self, text: &mut String) -> std::fmt::Result {
        let [alone, small, large, talkative] = &self.rest;
        let nodes = 2 * MANY;
        let more = nodes as f64 / LARGE as f64;
        writeln!(
            text,
            "\nA reservation talks to one master, and masters tell each other nothing about it. Only gossip grows with \
             the cluster. The table shows idle nodes over {} s, from `INFO cpu` and `CLUSTER INFO`:\n",
            WATCHED.as_secs()
        )?;
        writeln!(
            text,
            "| | processor, ms a second a node | messages sent, a second a node | bytes sent, a second a node |"
        )?;
        writeln!(text, "| --- | ---: | ---: | ---: |")?;
        let timeout = format!(", `cluster-node-timeout {TALKATIVE_MS}`");
        for (idle, setting) in [(alone, ""), (small, ""), (large, ""), (talkative, &timeout)] {
            let name = if idle.is_cluster { format!("{} masters", idle.nodes) } else { ALONE.to_owned() };
            let bytes =
                if idle.bytes.is_nan() { "not told".to_owned() } else { format!("{:.0}", idle.bytes) };
            writeln!(text, "| {name}{setting} | {:.2} | {:.1} | {bytes} |", idle.cpu_ms, idle.messages)?;
        }
        let message = (talkative.cpu_ms - large.cpu_ms).max(0.0) / (talkative.messages - large.messages);
        let messages = large.messages * more;
        writeln!(
            text,
            "\nAccording to the last two lines, writing one message and reading another takes {:.0} µs. At the default \
             timeout of 15 s, the number of messages of a node grows no faster than the number of nodes. Each message \
             describes a tenth of the nodes, and at least three: 104 bytes for each node after a header of 2,256 \
             bytes, so it is less than twice as long with {nodes} nodes. So with {nodes} nodes ({MANY} masters with a \
             replica each), a node sends at most {messages:.0} messages a second, and gossip takes at most {:.2} % of \
             its core. `CLUSTER NODES`, which a client reads when it connects and when slots have moved, has {:.0} \
             bytes for each node: {:.0} kB.",
            message * 1000.0,
            2.0 * messages * message / 10.0,
            large.nodes_bytes,
            large.nodes_bytes * nodes as f64 / 1000.0
        )
    }
}

/// The median.
fn middle(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// The minimum and the maximum.
fn ends(figures: &[f64]) -> [f64; 2] {
    [figures.iter().copied().fold(f64::INFINITY, f64::min), figures.iter().copied().fold(0.0, f64::max)]
}

/// The median, with minimum and maximum in parentheses.
fn with_ends(figures: &[f64], places: usize) -> String {
    let [least, most] = ends(figures);
    format!("{:.places$} ({least:.places$} to {most:.places$})", middle(figures.to_vec()))
}

//! Compares the module with its rivals on a real server: `make bench`.
//!
//! It starts temporary servers on free ports: one with the module, and one without it for the rivals, so that neither slows down
//! the other. The load comes from the benchmark program of the server. The contenders take turns, round by round; a table and a
//! chart are saved in `benches/results/`.

use std::fmt::Write;
use std::path::Path;

use harness::{Client, Server, server_program};
use load::{Figures, JSON, Load, MANY, fill_products, set_of_the_record, spread, words};
use options::Options;
use scripts::{LUA_COMMIT, LUA_RESERVE, LUA_ROLLBACK};

#[path = "../tests/server/harness.rs"]
#[allow(dead_code, unused_imports, reason = "only the tests use all of it")]
mod harness;
#[path = "common/load.rs"]
mod load;
#[path = "common/machine.rs"]
mod machine;
#[path = "common/options.rs"]
mod options;
#[path = "../tests/server/scripts.rs"]
mod scripts;

/// The script that shops use, for several products: all or nothing.
const LUA_LINES: &str = "
local quantity = tonumber(ARGV[1])
for i = 2, #KEYS, 2 do
  if tonumber(redis.call('GET', KEYS[i]) or 0) < quantity then return 0 end
end
for i = 2, #KEYS, 2 do
  redis.call('DECRBY', KEYS[i], quantity)
  redis.call('INCRBY', KEYS[i + 1], quantity)
end
redis.call('SETEX', KEYS[1], ARGV[3], ARGV[2])
return 1";

/// A script with the same features as the module: an id can be used once, the record says what it holds, and a sorted set says
/// when it expires.
const LUA_AS_MUCH: &str = "
local quantity = tonumber(ARGV[1])
local record = redis.call('GET', KEYS[1])
if record then
  local held = cjson.decode(record)
  if held.items[1].product_id ~= ARGV[2] or held.items[1].quantity ~= quantity then
    return redis.error_reply('MISMATCH')
  end
  return record
end
if redis.call('EXISTS', KEYS[2]) == 1 then return redis.error_reply('ENDED') end
local available = tonumber(redis.call('GET', KEYS[4]) or 0)
if available < quantity then return redis.error_reply('INSUFFICIENT') end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local deadline = now + ARGV[3] * 1000
local id = string.sub(KEYS[1], 13)
record = cjson.encode({reservation_id = id, created_at = now, expires_at = deadline,
  items = {{product_id = ARGV[2], quantity = quantity}}})
redis.call('DECRBY', KEYS[4], quantity)
redis.call('INCRBY', KEYS[5], quantity)
redis.call('SET', KEYS[1], record, 'PXAT', string.format('%.0f', deadline))
redis.call('ZADD', KEYS[3], deadline, id)
return record";

/// The number of products over which the load is spread evenly.
const PRODUCTS: usize = 1_000_000;

/// One of the commands to compare.
struct Contender {
    name: &'static str,
    with_module: bool,
    /// A command that has to run before, and its name: it runs as often, with the same random numbers.
    before: Option<(Vec<String>, &'static str)>,
    /// Both are measured, one after the other, and a pair counts as one.
    is_cycle: bool,
    command: Vec<String>,
    /// Its name in INFO commandstats.
    counted_as: &'static str,
    even: bool,
}

/// `INV.RESERVE` of `lines` lines, with a new id each time.
fn reserve(lines: usize) -> Vec<String> {
    let items: Vec<String> = (0..lines).map(|line| format!("L{line} 1")).collect();
    words(&format!("INV.RESERVE r__rand_int__ EX 900 ITEMS {}", items.join(" ")))
}

fn script(sha: &str, keys: &[String], arguments: &[&str]) -> Vec<String> {
    let mut command = words(&format!("EVALSHA {sha} {}", keys.len()));
    command.extend(keys.iter().cloned());
    command.extend(arguments.iter().map(|&argument| argument.to_owned()));
    command
}

fn contenders(plain: &mut Client) -> Vec<Contender> {
    let mut load = |text: &str| plain.ask(["SCRIPT", "LOAD", text]).as_str().unwrap().to_owned();
    let [lua, lines, as_much, commit, rollback] =
        [LUA_RESERVE, LUA_LINES, LUA_AS_MUCH, LUA_COMMIT, LUA_ROLLBACK].map(&mut load);
    let keys = |line: &str| words(line);
    let lua_of = |lines_sha: &str, count: usize| {
        let pairs: Vec<String> =
            (0..count).map(|line| format!("stock:available:L{line} stock:reserved:L{line}")).collect();
        script(
            lines_sha,
            &words(&format!("reservation:r__rand_int__ {}", pairs.join(" "))),
            &["1", JSON, "900"],
        )
    };
    let lua_reserve = script(
        &lua,
        &keys("stock:available:L0 stock:reserved:L0 reservation:r__rand_int__"),
        &["1", JSON, "900"],
    );
    let lua_commit =
        script(&commit, &keys("stock:available:L0 stock:reserved:L0 reservation:r__rand_int__"), &["1"]);
    let own = |name, command, before, counted_as| Contender {
        name,
        with_module: true,
        before,
        is_cycle: false,
        command,
        counted_as,
        even: false,
    };
    let rival = |name, command, before, counted_as| Contender {
        name,
        with_module: false,
        before,
        is_cycle: false,
        command,
        counted_as,
        even: false,
    };
    vec![
        rival("PING", words("PING"), None, "ping"),
        rival("INCRBY", words("INCRBY counter 1"), None, "incrby"),
        rival("SET of the record, PXAT", set_of_the_record(), None, "set"),
        own("INV.RESERVE", reserve(1), None, "INV.RESERVE"),
        rival("Lua", lua_reserve.clone(), None, "evalsha"),
        rival(
            "Lua that does as much",
            script(
                &as_much,
                &keys(
                    "reservation:r__rand_int__ outcome:r__rand_int__ deadlines stock:available:L0 stock:reserved:L0",
                ),
                &["1", "L0", "900"],
            ),
            None,
            "evalsha",
        ),
        own("INV.RESERVE, 5 lines", reserve(5), None, "INV.RESERVE"),
        rival("Lua, 5 lines", lua_of(&lines, 5), None, "evalsha"),
        own("INV.RESERVE, 20 lines", reserve(20), None, "INV.RESERVE"),
        rival("Lua, 20 lines", lua_of(&lines, 20), None, "evalsha"),
        own("INV.COMMIT", words("INV.COMMIT r__rand_int__"), Some((reserve(1), "INV.RESERVE")), "INV.COMMIT"),
        rival("Lua commit", lua_commit.clone(), Some((lua_reserve.clone(), "evalsha")), "evalsha"),
        own(
            "INV.ROLLBACK",
            words("INV.ROLLBACK r__rand_int__"),
            Some((reserve(1), "INV.RESERVE")),
            "INV.ROLLBACK",
        ),
        rival(
            "Lua rollback",
            script(
                &rollback,
                &keys("stock:available:L0 stock:reserved:L0 reservation:r__rand_int__"),
                &["1"],
            ),
            Some((lua_reserve.clone(), "evalsha")),
            "evalsha",
        ),
        Contender {
            is_cycle: true,
            ..own(
                "INV.RESERVE and INV.COMMIT",
                words("INV.COMMIT r__rand_int__"),
                Some((reserve(1), "INV.RESERVE")),
                "INV.COMMIT",
            )
        },
        Contender {
            is_cycle: true,
            ..rival("Lua and Lua commit", lua_commit, Some((lua_reserve, "evalsha")), "evalsha")
        },
        Contender {
            even: true,
            ..own(
                "INV.RESERVE, a million products",
                words("INV.RESERVE * EX 900 ITEMS __rand_int__ 1"),
                None,
                "INV.RESERVE",
            )
        },
        Contender {
            even: true,
            ..rival(
                "Lua, a million products",
                script(
                    &lua,
                    &keys(
                        "stock:available:__rand_int__ stock:reserved:__rand_int__ reservation:__rand_int__",
                    ),
                    &["1", JSON, "900"],
                ),
                None,
                "evalsha",
            )
        },
    ]
}

/// Empties the server and adds enough stock.
fn prepare(client: &mut Client, even: bool) {
    client.ask("FLUSHALL");
    for line in 0..20 {
        client.ask(format!("SET stock:available:L{line} 1000000000"));
    }
    if even {
        fill_products(client, PRODUCTS);
    }
}

fn measure(contender: &Contender, server: &Server, requests: usize, pipeline: usize, seed: usize) -> Figures {
    prepare(&mut server.connect(), contender.even);
    let range = if contender.even { PRODUCTS } else { MANY };
    let load = Load { requests, pipeline, range, seed };
    let Some((first, counted_as)) = &contender.before else {
        return load.run(server, &contender.command, contender.counted_as);
    };
    let before = load.run(server, first, counted_as);
    let figures = load.run(server, &contender.command, contender.counted_as);
    if !contender.is_cycle {
        return figures;
    }
    Figures {
        per_second: 1.0 / (1.0 / before.per_second + 1.0 / figures.per_second),
        p50_ms: before.p50_ms + figures.p50_ms,
        p99_ms: before.p99_ms + figures.p99_ms,
        us_a_call: before.us_a_call + figures.us_a_call,
    }
}

/// The results in one configuration, by contender.
struct Part {
    aof: &'static str,
    pipeline: usize,
    results: Vec<(&'static str, Vec<Figures>)>,
}

impl Part {
    fn of(&self, name: &str) -> &[Figures] {
        &self.results.iter().find(|(known, _)| *known == name).unwrap().1
    }

    fn ratio(&self, one: &str, other: &str, of: impl Fn(&Figures) -> f64 + Copy) -> f64 {
        spread(self.of(one), of)[1] / spread(self.of(other), of)[1]
    }

    fn write(&self, text: &mut String) {
        let Self { aof, pipeline, .. } = self;
        writeln!(text, "## AOF {aof}, pipeline {pipeline}\n").unwrap();
        writeln!(text, "| | 1000/s, median | min | max | p50 ms | p99 ms | us a call |").unwrap();
        writeln!(text, "| --- | ---: | ---: | ---: | ---: | ---: | ---: |").unwrap();
        for (name, figures) in &self.results {
            let [least, median, most] = spread(figures, |figures| figures.per_second / 1000.0);
            writeln!(
                text,
                "| {name} | {:.0} | {:.0} | {:.0} | {:.2} | {:.2} | {:.2} |",
                median,
                least,
                most,
                spread(figures, |figures| figures.p50_ms)[1],
                spread(figures, |figures| figures.p99_ms)[1],
                spread(figures, |figures| figures.us_a_call)[1]
            )
            .unwrap();
        }
        text.push('\n');
    }
}

/// Writes the ratios that are required and those that are aimed for.
fn write_targets(text: &mut String, parts: &[Part]) {
    writeln!(
        text,
        "## Targets\n\n*Owed* is the least that the project wants to reach, and *aim* is what it would like to reach. Each is a \
             ratio of figures below.\n\n| | measured | owed | aim | |\n| --- | ---: | ---: | ---: | --- |"
    )
    .unwrap();
    let mut row = |what: String, measured: f64, owed: f64, aim: f64, more: bool| {
        let reaches = |goal: f64| if more { measured >= goal } else { measured <= goal };
        let verdict = if reaches(aim) {
            "aim met"
        } else if reaches(owed) {
            "met"
        } else {
            "not met"
        };
        writeln!(text, "| {what} | {measured:.2} | {owed:.2} | {aim:.2} | {verdict} |").unwrap();
    };
    let rate = |figures: &Figures| figures.per_second;
    let call = |figures: &Figures| figures.us_a_call;
    for part in parts {
        let setting = format!("AOF {}, pipeline {}", part.aof, part.pipeline);
        if part.pipeline == 1 {
            if part.aof == "no" {
                row(
                    format!("RESERVE / PING, {setting}"),
                    part.ratio("INV.RESERVE", "PING", rate),
                    0.9,
                    0.9,
                    true,
                );
                let p99 = part.ratio("INV.RESERVE", "PING", |figures| figures.p99_ms);
                row(format!("p99 of RESERVE / of PING, {setting}"), p99, 1.1, 1.1, false);
            }
            continue;
        }
        if part.aof != "always" {
            row(format!("RESERVE / Lua, {setting}"), part.ratio("INV.RESERVE", "Lua", rate), 1.5, 2.0, true);
            let set = part.ratio("INV.RESERVE", "SET of the record, PXAT", rate);
            row(format!("RESERVE / SET, {setting}"), set, 0.5, 0.7, true);
        }
        if part.aof == "no" {
            let us = part.ratio("INV.RESERVE", "Lua", call);
            row(format!("us a call of RESERVE / of Lua, {setting}"), us, 1.0 / 1.8, 1.0 / 2.2, false);
            let as_much = part.ratio("INV.RESERVE", "Lua that does as much", rate);
            row(format!("RESERVE / Lua that does as much, {setting}"), as_much, 2.2, 3.0, true);
            let five = part.ratio("INV.RESERVE, 5 lines", "Lua, 5 lines", rate);
            row(format!("RESERVE of 5 lines / Lua, {setting}"), five, 2.5, 4.0, true);
            row(
                format!("COMMIT / Lua, {setting}"),
                part.ratio("INV.COMMIT", "Lua commit", rate),
                1.0,
                1.5,
                true,
            );
        }
    }
    text.push('\n');
}

/// Bars of the throughput of the module and its rivals, as SVG.
fn chart(part: &Part) -> String {
    let rows: Vec<(&str, f64)> = part
        .results
        .iter()
        .map(|(name, figures)| (*name, spread(figures, |figures| figures.per_second / 1000.0)[1]))
        .collect();
    let most = rows.iter().map(|(_, rate)| *rate).fold(1.0, f64::max);
    let height = 44 + 22 * rows.len();
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"720\" height=\"{height}\" viewBox=\"0 0 720 {height}\" \
         font-family=\"sans-serif\" font-size=\"12\" fill=\"#333\">\n<title>Throughput</title>\n\
         <rect width=\"720\" height=\"{height}\" fill=\"#fff\"/>\n\
         <text x=\"12\" y=\"22\" font-weight=\"bold\">Thousand commands a second, pipeline {}, AOF {}</text>\n",
        part.pipeline, part.aof
    );
    for (place, (name, rate)) in rows.iter().enumerate() {
        let y = 36 + 22 * place;
        let colour = if name.starts_with("INV.") { "#0b7a4b" } else { "#94a3b8" };
        let width = 420.0 * rate / most;
        writeln!(
            svg,
            "<text x=\"232\" y=\"{}\" text-anchor=\"end\">{name}</text>\
             <rect x=\"240\" y=\"{y}\" width=\"{width:.1}\" height=\"16\" fill=\"{colour}\"/>\
             <text x=\"{:.1}\" y=\"{}\">{rate:.0}</text>",
            y + 13,
            246.0 + width,
            y + 13
        )
        .unwrap();
    }
    svg.push_str("</svg>\n");
    svg
}

fn measure_part(options: &Options, aof: &'static str, pipeline: usize) -> Part {
    let lines: &[&str] = match aof {
        "no" => &["save \"\""],
        "everysec" => &["save \"\"", "appendonly yes", "appendfsync everysec"],
        _ => &["save \"\"", "appendonly yes", "appendfsync always"],
    };
    let with_module = Server::start_with(lines);
    let plain = Server::start_without_module(server_program(), lines);
    let contenders = contenders(&mut plain.connect());
    // The spread loads and those of 20 lines are measured in one configuration only.
    let is_wanted = |contender: &Contender| {
        (aof == "no" && pipeline > 1) || !(contender.even || contender.name.contains("20"))
    };
    let requests = if pipeline == 1 { options.requests / 4 } else { options.requests };
    let mut results: Vec<(&Contender, Vec<Figures>)> = contenders
        .iter()
        .filter(|contender| is_wanted(contender))
        .map(|contender| (contender, vec![]))
        .collect();
    for round in 1..=options.rounds {
        for (contender, figures) in &mut results {
            let server = if contender.with_module { &with_module } else { &plain };
            let found = measure(contender, server, requests, pipeline, round);
            eprintln!(
                "  AOF {aof}, pipeline {pipeline}, round {round}: {:<32} {:>4.0} thousand/s {:>7.2} us",
                contender.name,
                found.per_second / 1000.0,
                found.us_a_call
            );
            figures.push(found);
        }
    }
    Part {
        aof,
        pipeline,
        results: results.into_iter().map(|(contender, figures)| (contender.name, figures)).collect(),
    }
}

fn main() {
    let Some(options) = Options::read(5) else { return };
    let load_before = machine::load();
    let name = machine::server_name(&mut Server::start().connect());
    let settings = [("no", 32), ("no", 1), ("everysec", 32), ("always", 32)];
    let parts: Vec<Part> =
        settings.iter().map(|&(aof, pipeline)| measure_part(&options, aof, pipeline)).collect();
    let mut text = format!(
        "# The module, Lua scripts and plain commands, {name}\n\nWritten by `make bench`.\n\n| | |\n| --- | --- |\n"
    );
    writeln!(
        text,
        "| machine | {} |\n| load (1 min) | {load_before} before, {} after |",
        machine::machine(),
        machine::load()
    )
    .unwrap();
    writeln!(
        text,
        "| command | `scripts/bench.sh throughput --rounds {} --requests {}` |\n",
        options.rounds, options.requests
    )
    .unwrap();
    writeln!(
        text,
        "50 clients of the server's own benchmark program on the same machine, {} requests a round (a quarter of \
             that without a pipeline). There are {} rounds; the contenders take turns, each on empty servers, and the \
             tables show medians. The server of the other contenders does not have the module. All requests are for \
             one product, or one product for each line; ids are never repeated. COMMIT and ROLLBACK end reservations \
             that were made before the measurement. In the rows for two commands (RESERVE and COMMIT), a pair counts \
             as one request, and its times are sums.\n",
        options.requests, options.rounds
    )
    .unwrap();
    write_targets(&mut text, &parts);
    let file = name.to_lowercase().split('.').take(2).collect::<Vec<_>>().join(".").replace(' ', "-");
    writeln!(text, "![throughput](throughput-{file}.svg)\n").unwrap();
    parts.iter().for_each(|part| part.write(&mut text));
    print!("{text}");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/results");
    std::fs::write(folder.join(format!("throughput-{file}.md")), text.trim_end().to_owned() + "\n")
        .expect("a table");
    std::fs::write(folder.join(format!("throughput-{file}.svg")), chart(&parts[0])).expect("a picture");
    eprintln!("saved in benches/results/: throughput-{file}.md and .svg");
}

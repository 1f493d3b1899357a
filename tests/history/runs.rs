//! The runs of `make histories`.
//!
//! | variable | meaning |
//! | --- | --- |
//! | `INV_HISTORY_SECONDS` | how long, 60 by default |
//! | `INV_HISTORY_SEED` | the first seed. It repeats the choices, but their timing depends on the machine |
//! | `INV_HISTORY_CHECK` | checks this file instead |
//! | `INV_HISTORY_KEEP` | keeps every history in this folder; otherwise only those with findings, in target/histories |
//! | `INV_HISTORY_ONLY` | only plans whose name contains this |
//! | `INV_HISTORY_LINE` | writes a line about the whole run into this file |
//! | `INV_HISTORY_BEFORE` | the module of the version from which an upgrade begins |

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::check::{Verdict, check};
use crate::dice::{any_seed, number};
use crate::record::{Durability, History};
use crate::report::Report;
use crate::run::{Plan, Site, run};
use crate::world::Needs;

/// How long the clients of one run shop.
const LENGTH: Duration = Duration::from_secs(12);

const CLIENTS: u32 = 6;

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

/// All plans, one after the other. What is most likely to find something comes first.
fn plans(seed: u64) -> Vec<Plan> {
    use Durability::{Always, Everysec, None, Wait, Waitaof};
    let net = Needs { net: true, ..Needs::default() };
    let disks = Needs { disks: true, ..Needs::default() };
    let clocks = Needs { clocks: true, ..Needs::default() };
    let both = Needs { net: true, clocks: true, ..Needs::default() };
    let nothing = Needs::default();
    let before = variable("INV_HISTORY_BEFORE").map(PathBuf::from);
    let plan = |site, durability, needs| Plan {
        site,
        durability,
        needs,
        before: Option::None,
        seed,
        length: LENGTH,
    };
    let mut plans = vec![
        plan(Site::Single, Wait, net),
        plan(Site::Cluster, Everysec, net),
        plan(Site::Single, Everysec, disks),
        plan(Site::Single, Everysec, clocks),
        plan(Site::Single, None, net),
        plan(Site::Cluster, Wait, net),
        plan(Site::Single, Waitaof, nothing),
        plan(Site::Single, Always, disks),
        plan(Site::Cluster, Everysec, clocks),
        plan(Site::Single, Everysec, net),
        plan(Site::Cluster, None, net),
        plan(Site::Single, Always, both),
        plan(Site::Single, Wait, clocks),
        plan(Site::Cluster, Always, nothing),
    ];
    if let Some(before) = before {
        let with =
            |site, durability| Plan { before: Some(before.clone()), ..plan(site, durability, nothing) };
        plans.insert(4, with(Site::Single, Everysec));
        plans.insert(9, with(Site::Cluster, Everysec));
    }
    plans
}

/// Carries out a plan. What stops it, such as a server that cannot read its own file after a full disk, does not stop the others.
fn run_or_stop(plan: &Plan) -> Result<History, String> {
    std::panic::catch_unwind(|| run(plan, CLIENTS)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic");
        Err(format!("it stopped: {text}"))
    })
}

/// Shows what was found. The whole history is kept if there is anything.
fn tell(plan: &Plan, history: &History, verdict: &Verdict, keep: Option<&Path>) {
    let kept = keep.map(Path::to_path_buf).or_else(|| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/histories");
        (!verdict.findings.is_empty()).then_some(folder)
    });
    let lost: usize = verdict.losses.iter().map(|loss| loss.lost).sum();
    eprintln!(
        "  {} calls, {} unknown, {} entries, {} reads, {} groups, {} failovers, {lost} forgotten, {} findings",
        verdict.calls,
        verdict.unknown,
        verdict.entries,
        verdict.reads,
        verdict.searched.groups,
        history.failovers.len(),
        verdict.findings.len()
    );
    for finding in verdict.findings.iter().take(10) {
        eprintln!("  FINDING {finding}");
    }
    if let Some(folder) = kept {
        std::fs::create_dir_all(&folder).expect("a folder");
        let name = plan.name().replace(", ", "-").replace(' ', "-");
        let path = folder.join(format!("{}-{name}.jsonl", plan.seed));
        history.write(&path).expect("a file");
        eprintln!("  check it again with: make histories CHECK={}", path.display());
    }
}

#[test]
#[ignore = "make histories runs it"]
fn histories() {
    let keep = variable("INV_HISTORY_KEEP").map(PathBuf::from);
    let mut report = Report::default();
    if let Some(file) = variable("INV_HISTORY_CHECK") {
        let history = History::read(Path::new(&file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        let verdict = check(&history);
        report.add(&history, &verdict);
        verdict.findings.iter().for_each(|finding| println!("FINDING {finding}"));
        println!("{report}");
        assert!(verdict.findings.is_empty(), "{} findings", verdict.findings.len());
        return;
    }
    let length = Duration::from_secs(number("INV_HISTORY_SECONDS").unwrap_or(60));
    let first = number("INV_HISTORY_SEED").unwrap_or_else(any_seed);
    let only = variable("INV_HISTORY_ONLY").unwrap_or_default();
    println!("INV_HISTORY_SEED={first}");
    let begun = Instant::now();
    let mut left_out = Vec::new();
    'all: for round in 0.. {
        let plans: Vec<Plan> = plans(first).into_iter().filter(|plan| plan.name().contains(&only)).collect();
        assert!(!plans.is_empty(), "no plan is called {only}");
        for (place, mut plan) in plans.into_iter().enumerate() {
            plan.seed = first + round * 100 + place as u64;
            if begun.elapsed() > length {
                break 'all;
            }
            eprintln!("{:>6.0} s {} (seed {})", begun.elapsed().as_secs_f64(), plan.name(), plan.seed);
            match run_or_stop(&plan) {
                Ok(history) => {
                    let verdict = check(&history);
                    tell(&plan, &history, &verdict, keep.as_deref());
                    report.add(&history, &verdict);
                }
                Err(why) => {
                    eprintln!("  left out: {why}");
                    left_out.push(format!("{}: {why}", plan.name()));
                    // Otherwise nothing but that would happen.
                    assert!(report.runs > 0 || left_out.len() < 20, "nothing can be run here");
                }
            }
        }
    }
    println!("\n{report}");
    let stopped = left_out.iter().filter(|text| text.contains("it stopped")).count();
    left_out.sort();
    left_out.dedup();
    left_out.iter().for_each(|text| println!("left out: {text}"));
    if let Some(path) = variable("INV_HISTORY_LINE") {
        std::fs::write(path, format!("seed {first}, {}\n", report.line())).expect("a file");
    }
    assert_eq!(report.findings, 0, "findings");
    assert!(stopped * 10 <= report.runs, "{stopped} runs stopped early");
}

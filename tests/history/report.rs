//! The figures of many runs.

use std::collections::BTreeMap;
use std::fmt::{self, Display};

use crate::check::{Loss, Verdict};
use crate::record::{Durability, History};

/// What several failovers have forgotten.
#[derive(Clone, Copy, Debug, Default)]
struct Lost {
    failovers: usize,
    /// Shops that were concerned. Each counts.
    stints: usize,
    answered: usize,
    lost: usize,
    /// The most that one failover has forgotten, of all shops together, and over how many ms.
    most: usize,
    span: u64,
}

#[derive(Default)]
pub struct Report {
    pub runs: usize,
    pub calls: usize,
    pub unknown: usize,
    pub entries: usize,
    pub reads: usize,
    pub groups: usize,
    pub too_many: usize,
    pub findings: usize,
    faults: BTreeMap<String, usize>,
    lost: BTreeMap<(Durability, String), Lost>,
}

impl Report {
    pub fn add(&mut self, history: &History, verdict: &Verdict) {
        self.runs += 1;
        self.calls += verdict.calls;
        self.unknown += verdict.unknown;
        self.entries += verdict.entries;
        self.reads += verdict.reads;
        self.groups += verdict.searched.groups;
        self.too_many += verdict.searched.too_many;
        self.findings += verdict.findings.len();
        for fault in &history.faults {
            *self.faults.entry(fault.what.clone()).or_default() += 1;
        }
        for failover in &history.failovers {
            self.lost.entry((history.run.durability, failover.what.clone())).or_default().failovers += 1;
        }
        // The shops that one failover concerned, together.
        let mut each: BTreeMap<usize, Vec<&Loss>> = BTreeMap::new();
        for loss in &verdict.losses {
            each.entry(loss.failover).or_default().push(loss);
        }
        for losses in each.values() {
            let sum = self.lost.entry((losses[0].durability, losses[0].what.clone())).or_default();
            let lost: usize = losses.iter().map(|loss| loss.lost).sum();
            sum.stints += losses.len();
            sum.answered += losses.iter().map(|loss| loss.answered).sum::<usize>();
            sum.lost += lost;
            sum.most = lost.max(sum.most);
            sum.span = losses.iter().map(|loss| loss.span).max().unwrap_or(0).max(sum.span);
        }
    }

    /// One line for a file of all runs.
    pub fn line(&self) -> String {
        let failovers: usize = self.lost.values().map(|lost| lost.failovers).sum();
        let faults: usize = self.faults.values().sum();
        format!(
            "{} runs, {} calls, {faults} faults, {failovers} failovers | {}",
            self.runs, self.calls, self.findings
        )
    }
}

impl Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "| what | count |\n|---|---:|")?;
        for (what, count) in [
            ("runs", self.runs),
            ("calls", self.calls),
            ("calls that were never answered", self.unknown),
            ("changes of stock in the feeds", self.entries),
            ("reads compared with them", self.reads),
            (
                "groups of reservations, each with an order that explains all answers",
                self.groups - self.too_many,
            ),
            ("groups with too many orders to try", self.too_many),
            ("findings", self.findings),
        ] {
            writeln!(out, "| {what} | {count} |")?;
        }
        writeln!(out, "\n| fault | times |\n|---|---:|")?;
        for (what, count) in &self.faults {
            writeln!(out, "| {what} | {count} |")?;
        }
        writeln!(
            out,
            "\n| durability | failover | times | answers before | forgotten | most by one | over at most |\n|---|---|---:|---:|---:|---:|---:|"
        )?;
        for ((durability, what), lost) in &self.lost {
            let Lost { failovers, answered, lost, most, span, .. } = lost;
            writeln!(
                out,
                "| {} | {what} | {failovers} | {answered} | {lost} | {most} | {span} ms |",
                durability.name()
            )?;
        }
        Ok(())
    }
}

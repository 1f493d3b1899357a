//! Mutates a history by whole lines and words, which libFuzzer's mutations of bytes rarely do, and inserts lines from the
//! generator of all random tests.

use libfuzzer_sys::fuzzer_mutate;

use super::dice::Dice;
use super::lines::{Life, Lines, Mix};

/// What time and the operator do comes from the seeds.
const MIX: Mix<'static> =
    Mix { calls: 6, time: 2, hands: 3, operator: 1, orders: &[(1, "RESTART"), (1, "FAILOVER"), (1, "GO")] };

/// Mutates the first `size` bytes of `data`, which has room for `max_size`, and returns the new size.
pub fn mutate(data: &mut [u8], size: usize, max_size: usize, seed: u32) -> usize {
    let mut dice = Dice::new(u64::from(seed));
    let mut lines: Vec<Vec<u8>> = data[..size].split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    let (at, other) = (dice.place(lines.len()), dice.place(lines.len()));
    match dice.roll(10) {
        0 => lines.insert(at, lines[other].clone()),
        1 => {
            lines.remove(at);
        }
        2 => lines.swap(at, other),
        3 => {
            // Repeats the rest of the history from here.
            let rest = lines[other..].to_vec();
            lines.truncate(at);
            lines.extend(rest);
        }
        4 | 5 => {
            // Replaces a word by one of another line.
            let mut words: Vec<&[u8]> = lines[at].split(|byte| *byte == b' ').collect();
            let from: Vec<&[u8]> = lines[other].split(|byte| *byte == b' ').collect();
            let (place, word) = (dice.place(words.len()), dice.place(from.len()));
            words[place] = from[word];
            lines[at] = words.join(&b' ');
        }
        6 | 7 => {
            let life = |dice: &mut Dice| Life::For(dice.up_to(500));
            let drawn = Lines::of_few(5, life).draw(&mut dice, &MIX);
            lines.insert(at, drawn.join(" ").into_bytes());
        }
        _ => return fuzzer_mutate(data, size, max_size),
    }
    let changed = lines.join(&b'\n');
    if changed.len() > max_size {
        return fuzzer_mutate(data, size, max_size);
    }
    data[..changed.len()].copy_from_slice(&changed);
    changed.len()
}

//! Changes a history by whole lines and words, which bytes alone hit rarely.

use libfuzzer_sys::fuzzer_mutate;

/// Changes the first `size` bytes of `data`, which has room for `max_size`. Gives how many there are then.
pub fn mutate(data: &mut [u8], size: usize, max_size: usize, seed: u32) -> usize {
    let mut dice = Dice(u64::from(seed) << 1 | 1);
    let mut lines: Vec<Vec<u8>> = data[..size].split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    let (at, other) = (dice.below(lines.len()), dice.below(lines.len()));
    match dice.below(8) {
        0 => lines.insert(at, lines[other].clone()),
        1 => {
            lines.remove(at);
        }
        2 => lines.swap(at, other),
        3 => {
            // The rest of a history again, from here.
            let rest = lines[other..].to_vec();
            lines.truncate(at);
            lines.extend(rest);
        }
        4 | 5 => {
            // A word of another line in the place of one of this.
            let mut words: Vec<&[u8]> = lines[at].split(|byte| *byte == b' ').collect();
            let from: Vec<&[u8]> = lines[other].split(|byte| *byte == b' ').collect();
            let (place, word) = (dice.below(words.len()), dice.below(from.len()));
            words[place] = from[word];
            lines[at] = words.join(&b' ');
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

/// Numbers that one seed decides (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, count: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % count.max(1)
    }
}

//! Numbers, times and ids as short texts.

use ratatui::text::Span;

use crate::output::is_plain;
use crate::watch::look::Look;

/// Text from the server, without characters that would reorder the line, and in ASCII if the terminal needs it.
pub fn plain(text: &str, is_utf8: bool) -> String {
    let characters = text.chars().filter(|character| is_plain(*character));
    characters.map(|character| if is_utf8 || character.is_ascii() { character } else { '?' }).collect()
}

/// The number of cells that a text takes.
pub(super) fn width_of(text: &str) -> usize {
    Span::raw(text).width()
}

/// The first of these texts that fits, or else the last.
pub(super) fn first_fit(texts: &[String], width: usize) -> String {
    let fits = texts.iter().find(|text| width_of(text) <= width);
    fits.or(texts.last()).cloned().unwrap_or_default()
}

/// Fits a text into a number of cells. Ids differ at their ends, so a long one is shortened in the middle.
pub fn fit(text: &str, width: usize, look: Look) -> String {
    if width_of(text) <= width {
        return text.to_owned();
    }
    let Some(rest) = width.checked_sub(1) else {
        return String::new();
    };
    let take = |characters: &mut dyn Iterator<Item = char>, room: usize| {
        let mut taken = Vec::new();
        let mut used = 0;
        for character in characters {
            used += width_of(character.encode_utf8(&mut [0; 4]));
            if used > room {
                break;
            }
            taken.push(character);
        }
        taken
    };
    let head: String = take(&mut text.chars(), rest.div_ceil(2)).into_iter().collect();
    let tail: String = take(&mut text.chars().rev(), rest / 2).into_iter().rev().collect();
    format!("{head}{}{tail}", look.pick("…", "~"))
}

/// `1,234,567`.
pub fn count(number: impl ToString) -> String {
    let digits = number.to_string();
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits.as_str()), |digits| ("-", digits));
    let mut grouped = String::from(sign);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `0.4`, `12`.
pub fn tenths(number: u64) -> String {
    if (1..100).contains(&number) {
        format!("{}.{}", number / 10, number % 10)
    } else {
        count(number.saturating_add(5) / 10)
    }
}

/// `12 s`. A part of a second counts as one; after the deadline it is `due`.
pub fn time_left(ms: i64) -> String {
    match ms {
        ..=0 => "due".to_owned(),
        ms => span(ms.saturating_add(999) / 1000),
    }
}

/// `12 s ago`, `3 min ago`: without seconds after a while.
pub fn time_ago(ms: i64) -> String {
    match ms.max(0) / 1000 {
        seconds @ 120..=5999 => format!("{} min ago", seconds / 60),
        seconds => format!("{} ago", span(seconds)),
    }
}

fn span(seconds: i64) -> String {
    const HOUR: i64 = 3600;
    const DAY: i64 = 24 * HOUR;
    match seconds {
        ..=5999 => format!("{seconds} s"),
        6000..=359_999 => format!("{}h {:02}m", seconds / HOUR, seconds % HOUR / 60),
        _ => format!("{} d", count(seconds / DAY)),
    }
}

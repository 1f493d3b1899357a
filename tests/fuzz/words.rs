//! Splits a line into words like redis-cli: at spaces, with double quotes in which `\n`, `\"` and `\xff` are
//! escapes.

/// Splits a line into its words.
pub fn words(line: &[u8]) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    let mut rest = line;
    loop {
        rest = rest.trim_ascii_start();
        match rest {
            [] => return words,
            [b'"', quoted @ ..] => {
                let (word, behind) = unquote(quoted);
                words.push(word);
                rest = behind;
            }
            _ => {
                let end = rest.iter().position(|byte| *byte == b' ').unwrap_or(rest.len());
                words.push(rest[..end].to_vec());
                rest = &rest[end..];
            }
        }
    }
}

/// A word up to its closing quote, and the rest of the line.
fn unquote(mut rest: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut word = Vec::new();
    loop {
        rest = match rest {
            [] => return (word, rest),
            [b'"', behind @ ..] => return (word, behind),
            [b'\\', b'x', high, low, behind @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                let digits = [char::from(*high), char::from(*low)].iter().collect::<String>();
                word.push(u8::from_str_radix(&digits, 16).unwrap());
                behind
            }
            [b'\\', byte, behind @ ..] => {
                word.push(match byte {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    other => *other,
                });
                behind
            }
            [byte, behind @ ..] => {
                word.push(*byte);
                behind
            }
        }
    }
}

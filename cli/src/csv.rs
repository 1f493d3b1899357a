//! Lines of CSV (RFC 4180), with one deviation: a record is a line, also if a quote is left open in it. No id, number or note may
//! contain a line break, so a broken line costs only itself, and line numbers are exact.

use std::borrow::Cow;

/// Splits a line into its fields, without their quotes. Blanks around a field belong to it only if they are within the quotes.
///
/// # Errors
///
/// What is wrong, if a quote is not closed, or if text follows a closed one.
pub fn split(line: &str, separator: char) -> Result<Vec<Cow<'_, str>>, String> {
    let mut fields = Vec::new();
    let mut rest = Some(line);
    while let Some(text) = rest {
        let (field, next) = field(text, separator)?;
        fields.push(field);
        rest = next;
    }
    Ok(fields)
}

/// The first field, and what follows its separator.
fn field(text: &str, separator: char) -> Result<(Cow<'_, str>, Option<&str>), String> {
    let Some(mut inside) = text.trim_start_matches([' ', '\t']).strip_prefix('"') else {
        let (field, next) = match text.split_once(separator) {
            Some((field, next)) => (field, Some(next)),
            None => (text, None),
        };
        return Ok((field.trim().into(), next));
    };
    let mut value = Cow::Borrowed("");
    loop {
        let Some((part, after)) = inside.split_once('"') else {
            return Err(
                "a quote is opened and not closed. A quote in a text is written twice: \"\"".to_owned()
            );
        };
        value = if value.is_empty() { part.into() } else { (value.into_owned() + part).into() };
        let Some(more) = after.strip_prefix('"') else {
            let after = after.trim_start_matches([' ', '\t']);
            let next = after.strip_prefix(separator);
            if next.is_none() && !after.is_empty() {
                let found: String = after.chars().take(20).collect();
                return Err(format!(
                    "'{found}' follows a closed quote. A quote in a text is written twice: \"\""
                ));
            }
            return Ok((value, next));
        };
        value = (value.into_owned() + "\"").into();
        inside = more;
    }
}

/// Appends a field, in quotes if it needs them.
pub fn push(line: &mut String, text: &str, separator: char) {
    let is_plain = !text.contains([separator, '"', '\n', '\r', ';', '\t']) && text.trim().len() == text.len();
    if is_plain {
        line.push_str(text);
    } else {
        line.push('"');
        line.push_str(&text.replace('"', "\"\""));
        line.push('"');
    }
}

#[cfg(test)]
mod tests {
    use super::{push, split};

    fn fields(line: &str) -> Vec<String> {
        split(line, ',').unwrap().into_iter().map(std::borrow::Cow::into_owned).collect()
    }

    #[test]
    fn a_line_is_split_as_spreadsheets_write_it() {
        assert_eq!(fields("a,b"), ["a", "b"]);
        assert_eq!(fields(" a , b "), ["a", "b"]);
        assert_eq!(fields(""), [""]);
        assert_eq!(fields(",,"), ["", "", ""]);
        assert_eq!(fields(r#""a,b"," c ",d"#), ["a,b", " c ", "d"]);
        assert_eq!(fields(r#""say ""hi""",x"#), [r#"say "hi""#, "x"]);
        assert_eq!(fields(r#""""#), [""]);
        assert_eq!(fields(r#""""""#), ["\""]);
        assert_eq!(fields(r#"5" pipe,1"#), ["5\" pipe", "1"], "a quote within a plain field is a character");
        assert_eq!(fields("商品,1"), ["商品", "1"]);
    }

    #[test]
    fn a_wrong_quote_is_an_error_of_its_line() {
        assert!(split(r#""a,b"#, ',').unwrap_err().contains("not closed"));
        assert!(split(r#""a"b,c"#, ',').unwrap_err().contains("'b,c' follows"));
    }

    #[test]
    fn what_is_written_is_read_again() {
        for text in ["a", "a,b", " a", "a ", "\"", "say \"hi\"", "", "a;b", "\"\"", "5\" pipe"] {
            let mut line = String::new();
            push(&mut line, text, ',');
            line.push(',');
            assert_eq!(fields(&line), [text, ""], "{line}");
        }
    }
}

//! Every relative link in the documents leads to a file, every `#anchor` to a heading, and every `make` target and file that a
//! document names exists. The README and the architecture stay short. No server is started.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every document of the repository: its path from the root, and its text.
pub fn documents() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let (path, name) = (entry.path(), entry.file_name().into_string().unwrap());
            let is_built_or_fetched = name.starts_with('.') || name == "target" || name == "node_modules";
            if entry.file_type().unwrap().is_dir() && !is_built_or_fetched {
                folders.push(path);
            } else if name.ends_with(".md") {
                let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
                found.insert(name, fs::read_to_string(path).unwrap());
            }
        }
    }
    assert!(found.contains_key("README.md") && found.contains_key("docs/commands.md"));
    found
}

/// The lines outside fenced blocks, and those inside.
fn prose_and_code(document: &str) -> (Vec<&str>, Vec<&str>) {
    let mut is_code = false;
    let mut lines = (Vec::new(), Vec::new());
    for line in document.lines() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        } else if is_code {
            lines.1.push(line);
        } else {
            lines.0.push(line);
        }
    }
    lines
}

/// The text and the code spans of a document, without its fenced blocks.
fn text_and_spans(document: &str) -> (String, Vec<String>) {
    let (mut text, mut spans) = (String::new(), Vec::new());
    for paragraph in prose_and_code(document).0.join("\n").split("\n\n") {
        for (index, part) in paragraph.split('`').enumerate() {
            if index % 2 == 0 {
                text += part;
            } else {
                spans.push(part.replace('\n', " "));
            }
        }
        text += "\n\n";
    }
    (text, spans)
}

/// The targets of links and images.
fn links(document: &str) -> Vec<String> {
    let (text, _) = text_and_spans(document);
    let ends = text.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    ends.map(|(target, _)| target.to_owned()).collect()
}

/// The anchors of its headings, as the repository host makes them.
fn anchors(document: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for line in prose_and_code(document).0 {
        let heading = line.trim_start_matches('#');
        if heading.len() == line.len() || !heading.starts_with(' ') {
            continue;
        }
        let heading = heading.trim().to_lowercase().replace(' ', "-");
        let slug: String =
            heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect();
        let mut name = slug.clone();
        let mut count = 0;
        while !found.insert(name) {
            count += 1;
            name = format!("{slug}-{count}");
        }
    }
    found
}

/// The path from the root of what a document links to.
fn resolve(document: &str, target: &str) -> String {
    let mut path = PathBuf::new();
    for part in Path::new(document).parent().unwrap().join(target).components() {
        match part {
            Component::ParentDir => assert!(path.pop(), "{document}: {target}"),
            part => path.push(part),
        }
    }
    path.to_str().unwrap().to_owned()
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let documents = documents();
    let (mut checked, mut broken) = (0, Vec::new());
    for (name, document) in &documents {
        for link in links(document) {
            if link.starts_with("https://") || link.starts_with("http://") {
                continue;
            }
            checked += 1;
            let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let path = if path.is_empty() { name.clone() } else { resolve(name, path) };
            let leads = match documents.get(&path) {
                Some(target) => anchor.is_empty() || anchors(target).contains(anchor),
                None => anchor.is_empty() && root().join(&path).exists(),
            };
            if !leads {
                broken.push(format!("{name}: {link}"));
            }
        }
    }
    assert!(checked > 100, "only {checked} links were found");
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn the_readme_and_the_architecture_stay_short() {
    let documents = documents();
    for (name, most) in [("README.md", 12 * 1024), ("ARCHITECTURE.md", 14 * 1024)] {
        let bytes = documents[name].len();
        assert!(bytes <= most, "{name} has {bytes} bytes, at most {most}");
    }
}

#[test]
fn every_make_target_and_file_that_is_named_exists() {
    let makefile = fs::read_to_string(root().join("Makefile")).unwrap();
    let targets: BTreeSet<&str> =
        makefile.lines().filter_map(|line| line.split_once(": ##")).map(|(target, _)| target).collect();
    let folders =
        ["src/", "tests/", "docs/", "scripts/", "benches/", "examples/", "monitoring/", "fuzz/", "cli/"];
    let mut unknown = Vec::new();
    for (name, document) in documents() {
        let (prose, code) = prose_and_code(&document);
        let (_, spans) = text_and_spans(&document);
        let indented = prose.iter().filter(|line| line.starts_with("    "));
        let lines = indented.chain(&code).map(|line| line.trim());
        for command in lines.chain(spans.iter().map(String::as_str)) {
            let words = command.strip_prefix("make ").unwrap_or_default().split(' ');
            let is_target = |word: &&str| {
                !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
            };
            let missing = words.take_while(is_target).filter(|word| !targets.contains(word));
            unknown.extend(missing.map(|word| format!("{name}: make {word}")));
        }
        for span in spans {
            let is_path = folders.iter().any(|folder| span.starts_with(folder))
                && !span.contains(['*', '{', '…', '<', ' ', ':']);
            if is_path && !root().join(&span).exists() {
                unknown.push(format!("{name}: {span}"));
            }
        }
    }
    assert!(unknown.is_empty(), "{unknown:#?}");
}

//! `docs/c-reference.md` is what `include/wsengine.h` says, as a page. `WRITE_DOCS=1 cargo test -p wsengine-capi --test
//! reference` writes it anew.

use std::fmt::Write as _;
use std::path::Path;

#[test]
fn the_page_is_what_the_header_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let header = std::fs::read_to_string(root.join("include/wsengine.h")).unwrap();
    let path = root.join("docs/c-reference.md");
    let expected = page(&header);
    if std::env::var_os("WRITE_DOCS").is_some() {
        std::fs::write(&path, &expected).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == expected, "docs/c-reference.md is not what the header says; see the head of this test");
}

fn page(header: &str) -> String {
    let items = items(header);
    let mut page = String::from(
        "# C reference\n\n\
         Every function and type of [wsengine.h](../include/wsengine.h), from which this page is generated. \
         [c.md](c.md) is the way through it.\n\n## The contract\n\n",
    );
    for paragraph in contract(header) {
        match paragraph.split_once(": ") {
            Some((subject, text)) => writeln!(page, "- **{subject}:** {}", prose(text)).unwrap(),
            None => unreachable!("each paragraph of the head has a subject: {paragraph}"),
        }
    }
    page += "\n## Functions\n\n| function | what it does |\n| --- | --- |\n";
    for item in items.iter().filter(|item| item.is_function()) {
        writeln!(page, "| [`{0}`](#{0}) | {1} |", item.name, prose(first_sentence(&item.doc))).unwrap();
    }
    for item in items.iter().filter(|item| item.is_function()) {
        write!(page, "\n### {}\n\n```c\n{}\n```\n\n{}\n", item.name, item.declaration, prose(&item.doc))
            .unwrap();
    }
    page += "\n## Types and constants\n";
    for item in items.iter().filter(|item| !item.is_function()) {
        write!(page, "\n### {}\n\n{}\n", item.name, prose(&item.doc)).unwrap();
        if item.members.is_empty() {
            write!(page, "\n```c\n{}\n```\n", item.declaration).unwrap();
            continue;
        }
        page += "\n| | |\n| --- | --- |\n";
        for (declaration, doc) in &item.members {
            writeln!(page, "| `{declaration}` | {} |", prose(doc)).unwrap();
        }
    }
    page
}

/// What stands behind one doc comment.
struct Item {
    name: String,
    doc: String,
    declaration: String,
    /// Of enums and structs.
    members: Vec<(String, String)>,
}

impl Item {
    fn is_function(&self) -> bool {
        !self.declaration.starts_with("typedef") && !self.declaration.starts_with('#')
    }
}

/// The paragraphs of the first comment, behind its title.
fn contract(header: &str) -> Vec<String> {
    let comment = header.split("*/").next().unwrap();
    let lines = comment.lines().map(|line| line.trim_start_matches(['/', '*', ' '])).collect::<Vec<_>>();
    let paragraphs = lines.split(|line| line.is_empty()).filter(|lines| !lines.is_empty()).skip(1);
    paragraphs.map(|lines| lines.join(" ")).collect()
}

/// All that has a doc comment at the left edge.
fn items(header: &str) -> Vec<Item> {
    let mut items = Vec::new();
    for block in header.split("\n/**\n").skip(1) {
        let (doc, rest) = block.split_once("\n */\n").unwrap();
        let declaration = declaration(rest);
        let (doc, name) = (doc_text(doc), name(&declaration));
        let members = members(&declaration);
        items.push(Item { name, doc, declaration, members });
    }
    items
}

/// Up to the end of a macro's line, of a struct or of a prototype.
fn declaration(text: &str) -> String {
    let end = match text {
        _ if text.starts_with('#') => text.find('\n'),
        _ if text.starts_with("typedef") && text.lines().next().unwrap().ends_with('{') => {
            text.find("\n}").and_then(|brace| text[brace + 1..].find('\n').map(|end| brace + 1 + end))
        }
        _ => text.find(";\n").map(|end| end + 1),
    };
    text[..end.unwrap()].to_owned()
}

fn name(declaration: &str) -> String {
    let before = match declaration.find('(') {
        _ if declaration.starts_with('#') => return declaration.split(' ').nth(1).unwrap().to_owned(),
        Some(_) if declaration.starts_with("typedef") && declaration.contains("(*") => {
            declaration.split("(*").nth(1).unwrap().split(')').next().unwrap()
        }
        Some(at) if !declaration.starts_with("typedef") => &declaration[..at],
        _ => declaration.trim_end_matches(';'),
    };
    before.rsplit([' ', '*']).next().unwrap().to_owned()
}

fn members(declaration: &str) -> Vec<(String, String)> {
    let member = |block: &str| {
        let (doc, rest) = block.split_once("*/\n").unwrap();
        let declaration = rest.lines().next().unwrap().trim().trim_end_matches([',', ';']);
        (declaration.to_owned(), doc_text(doc))
    };
    declaration.split("    /**\n").skip(1).map(member).collect()
}

fn doc_text(lines: &str) -> String {
    let lines = lines.lines().map(|line| line.trim().trim_start_matches('*').trim());
    lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

fn first_sentence(doc: &str) -> &str {
    doc.find(". ").map_or(doc, |end| &doc[..=end])
}

/// Names of C as code, and nothing that Markdown would take for its own.
fn prose(text: &str) -> String {
    let is_name = |word: &str| {
        let word = word.trim_end_matches("()");
        word.contains('_') && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    let word = |word: &str| {
        let core = word.trim_matches(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ')');
        let core = if core.contains('(') { core } else { core.trim_end_matches(')') };
        match word.split_once(core) {
            Some((before, after)) if is_name(core) => format!("{before}`{core}`{after}"),
            _ => word.replace('*', "\\*").replace('<', "\\<").replace('|', "\\|").replace('[', "\\["),
        }
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

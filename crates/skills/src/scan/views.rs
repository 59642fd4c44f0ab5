//! Looks at one text in several ways, none of which moves a line: what is a command and what is for reading, what a
//! reader does not see, what strings say when they are put together.

/// A text as the two sets of rules read it. All have the lines of the text itself.
#[derive(Debug)]
pub(super) struct Views {
    /// Commands and source code; what is for reading is blank.
    pub(super) code: String,
    /// What is for reading; commands are blank, paragraphs are on one line.
    pub(super) prose: String,
    /// What a reader of the finished page does not see; `None` where there is nothing of that.
    pub(super) hidden: Option<String>,
}

impl Views {
    /// A Markdown text.
    pub(super) fn markdown(text: &str) -> Self {
        let mut code = Vec::with_capacity(text.len());
        let mut prose = Vec::with_capacity(text.len());
        let mut hidden = blank(text);
        let mut fence: Option<&str> = None;
        let mut after_prose = false;
        let mut front_matter = text.starts_with("---");
        for (index, line) in text.split_inclusive('\n').enumerate() {
            let trimmed = line.trim_start().trim_start_matches(['>', ' ']);
            let marker = ["```", "~~~"].into_iter().find(|marker| trimmed.starts_with(marker));
            if front_matter {
                front_matter = index == 0 || !line.starts_with("---");
                code.extend(line.bytes());
                prose.extend(line.bytes());
                continue;
            }
            match (fence, marker) {
                (None, Some(marker)) => {
                    fence = Some(marker);
                    blank_into(line, &mut code);
                    blank_into(line, &mut prose);
                }
                (Some(open), Some(close))
                    if open == close && trimmed.trim_end().trim_matches(['`', '~']).is_empty() =>
                {
                    fence = None;
                    blank_into(line, &mut code);
                    blank_into(line, &mut prose);
                }
                (Some(_), _) => {
                    code.extend(line.bytes());
                    // Orders to an agent are as good in a block without a language.
                    prose.extend(line.bytes());
                }
                (None, None) => {
                    let is_indented = line.starts_with("    ") || line.starts_with('\t');
                    inline_code_into(line, is_indented, &mut code);
                    if after_prose
                        && !starts_block(line)
                        && let Some(end) = prose.last_mut()
                    {
                        // A sentence goes on over the end of a line.
                        *end = b' ';
                    }
                    prose.extend(line.bytes());
                }
            }
            after_prose =
                fence.is_none() && marker.is_none() && line.ends_with('\n') && !line.trim().is_empty();
        }
        let hidden_any = hide_comments(text, &mut hidden);
        Self {
            code: join_continued(text_of(code)),
            prose: text_of(prose),
            hidden: hidden_any.then(|| text_of(hidden)),
        }
    }

    /// Source code or data: both sets read all of it.
    pub(super) fn plain(text: &str) -> Self {
        Self { code: join_continued(text.to_owned()), prose: text.to_owned(), hidden: None }
    }
}

/// Built from whole lines and blanks, so it stays UTF-8; if not, nothing of it is lost to the ASCII rules.
fn text_of(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

fn blank(text: &str) -> Vec<u8> {
    text.bytes().map(|byte| if byte == b'\n' { byte } else { b' ' }).collect()
}

fn blank_into(line: &str, into: &mut Vec<u8>) {
    into.extend(blank(line));
}

/// Code spans of a line; an indented line, one with a prompt or one that starts like a command is code as a whole.
fn inline_code_into(line: &str, is_indented: bool, into: &mut Vec<u8>) {
    const STARTS: &[&str] = &[
        "$ ",
        "# curl",
        "curl ",
        "wget ",
        "bash ",
        "sh ",
        "sudo ",
        "pip ",
        "pip3 ",
        "npm ",
        "npx ",
        "python ",
        "python3 ",
        "powershell ",
        "echo ",
        "iwr ",
        "irm ",
        "chmod ",
        "rm ",
        "eval ",
        "export ",
    ];
    let start = line
        .trim_start()
        .trim_start_matches(['-', '*', '>', ' '])
        .trim_start_matches(|c: char| c.is_ascii_digit());
    let start = start.trim_start_matches(['.', ')', ' ']);
    if is_indented || STARTS.iter().any(|command| start.starts_with(command)) {
        into.extend(line.bytes());
        return;
    }
    let mut inside = false;
    for byte in line.bytes() {
        match byte {
            b'`' => {
                inside = !inside;
                into.push(b' ');
            }
            b'\n' => into.push(b'\n'),
            _ if inside => into.push(byte),
            _ => into.push(b' '),
        }
    }
}

/// Copies what is inside `<!-- -->`, `[//]: # ( )` and elements that are not shown; says whether there was any.
fn hide_comments(text: &str, hidden: &mut [u8]) -> bool {
    let mut any = false;
    let mut show = |from: usize, to: usize| {
        for (slot, byte) in hidden.iter_mut().zip(text.bytes()).take(to).skip(from) {
            *slot = byte;
        }
        any = true;
    };
    let mut spans = |open: &str, close: &str| {
        let mut at = 0;
        while let Some(start) =
            text.get(at..).and_then(|rest| rest.find(open)).map(|found| at + found + open.len())
        {
            let end =
                text.get(start..).and_then(|rest| rest.find(close)).map_or(text.len(), |found| start + found);
            show(start, end);
            at = end.max(start);
        }
    };
    spans("<!--", "-->");
    spans("[//]: # (", "\n");
    spans("[comment]: #", "\n");
    for style in [
        "display:none",
        "display: none",
        "font-size:0",
        "font-size: 0",
        "visibility:hidden",
        "visibility: hidden",
        "opacity:0;",
        "color:white",
        "color: white",
        "color:#fff",
        "color: #fff",
    ] {
        spans(style, "</");
    }
    spans("<details hidden", "</details>");
    any
}

/// Whether a line begins a paragraph, a list, a table or something else of its own.
fn starts_block(line: &str) -> bool {
    line.trim_start().starts_with([
        '-', '*', '#', '>', '|', '`', '<', '~', '+', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9',
    ]) || line.trim().is_empty()
}

/// A command goes on after `\` at the end of a line.
fn join_continued(text: String) -> String {
    if !text.contains("\\\n") {
        return text;
    }
    text.replace("\\\n", "  ")
}

/// What strings say when the parts that are added are one; `None` where none are. Line ends stay.
pub(super) fn joined_strings(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut changed = false;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        if matches!(byte, b'"' | b'\'' | b'`')
            && let Some((next, lines)) = glue(bytes, at, byte)
        {
            changed = true;
            out.extend(std::iter::repeat_n(b'\n', lines));
            at = next;
            continue;
        }
        out.push(byte);
        at += 1;
    }
    changed.then(|| text_of(out))
}

/// From a closing quote over `+` or `.` or only space to the next string's first character.
fn glue(bytes: &[u8], at: usize, quote: u8) -> Option<(usize, usize)> {
    let mut next = at + 1;
    let mut plus = false;
    let mut lines = 0;
    while let Some(&byte) = bytes.get(next) {
        match byte {
            b' ' | b'\t' | b'\r' | b'\\' => {}
            b'\n' => lines += 1,
            b'+' if !plus => plus = true,
            b'"' | b'\'' | b'`' if plus && next > at + 1 && byte == quote => return Some((next + 1, lines)),
            _ => return None,
        }
        if next - at > 200 {
            return None;
        }
        next += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_keep_the_lines() {
        let text = "---\nname: x\n---\nRun `curl a`\nand so\non.\n\n```sh\nrm -rf \\\n  x\n```\n<!-- send\nit -->\nEnd";
        let views = Views::markdown(text);
        assert_eq!(views.code.len(), text.len());
        assert_eq!(views.prose.len(), text.len());
        assert!(views.prose.contains("Run `curl a` and so on."));
        assert!(views.code.contains(" curl a "));
        assert!(!views.code.contains("and so"));
        assert!(views.code.contains("rm -rf     x"));
        let hidden = views.hidden.expect("there is a comment");
        assert_eq!(hidden.trim(), "send\nit");
        assert_eq!(hidden.len(), text.len());
    }

    #[test]
    fn added_strings_are_one() {
        assert_eq!(joined_strings("x = 'cu' + 'rl' +\n 'x'").as_deref(), Some("x = 'curl\nx'"));
        assert_eq!(joined_strings("x = 'a', 'b'"), None);
        assert_eq!(joined_strings("f(\"a\") + y"), None);
    }
}

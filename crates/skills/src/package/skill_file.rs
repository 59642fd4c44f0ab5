//! `SKILL.md`: its encoding, its parts and its name.

use creel_wire::skill_content::{Files, is_skill_name};

use super::error::{self, PackageError, refuse, shown};
use super::manifest::{FrontMatter, Manifest};
use super::yaml::FRONT_MATTER_BYTES_MAX;

/// Names at the most of what is looked at of a change log.
const CHANGE_LOG_FILES: [&str; 3] = ["CHANGELOG.md", "changelog.md", "Changelog.md"];
const BOM: &str = "\u{feff}";

/// The text of a `SKILL.md`, without a byte order mark, its lines ended by `\n`.
pub(super) fn text(bytes: &[u8]) -> Result<String, PackageError> {
    if let Ok(text) = std::str::from_utf8(bytes)
        && !text.contains('\0')
    {
        return Ok(text.strip_prefix(BOM).unwrap_or(text).replace("\r\n", "\n").replace('\r', "\n"));
    }
    let utf_16 = [b"\xff\xfe".as_slice(), b"\xfe\xff", b"-\0-\0", b"\0-\0-"];
    let what = if utf_16.iter().any(|start| bytes.starts_with(start)) {
        "SKILL.md is UTF-16"
    } else if bytes.starts_with(b"---") && !bytes.contains(&0) {
        "SKILL.md is not UTF-8 (GBK, perhaps)"
    } else {
        let message = "the package is none of zip, tar, tar.gz and a SKILL.md in UTF-8: upload one of these";
        return Err(refuse(error::READ_FAILED, message));
    };
    Err(refuse(error::BAD_ENCODING, format!("{what}, which agents do not read: save it as UTF-8")))
}

/// What `SKILL.md` says, and its bytes where its name had to be replaced. `folder` is the archive's top folder.
pub(super) fn read(
    bytes: &[u8],
    folder: Option<&str>,
    files: &Files,
) -> Result<(Manifest, Option<Vec<u8>>), PackageError> {
    let text = text(bytes)?;
    let (front_matter, body) = split(&text)?;
    let parsed = FrontMatter::parse(front_matter)?;
    let written = parsed.name.as_deref().unwrap_or_default().trim().to_owned();
    if written.is_empty() {
        let message =
            "the front matter of SKILL.md has no `name`: give the skill one of a-z, 0-9 and single hyphens";
        return Err(refuse(error::BAD_FRONT_MATTER, message));
    }
    let heading = body.lines().find_map(|line| line.strip_prefix("# "));
    let change_log =
        CHANGE_LOG_FILES.iter().find_map(|name| files.get(*name)).and_then(|bytes| newest_change(bytes));
    if is_skill_name(&written) {
        let manifest = parsed.manifest(written, heading, change_log.as_deref(), front_matter)?;
        return Ok((manifest, None));
    }
    let name = slug(&written, parsed.slug.as_deref(), folder).ok_or_else(|| bad_name(&written))?;
    let rewritten = renamed(&text, front_matter, &name).ok_or_else(|| bad_name(&written))?;
    let manifest = parsed.manifest(name, Some(&written), change_log.as_deref(), front_matter)?;
    Ok((manifest, Some(rewritten.into_bytes())))
}

/// The front matter and what is below it.
fn split(text: &str) -> Result<(&str, &str), PackageError> {
    let missing = |what: &str| {
        let message = format!(
            "SKILL.md {what}: it begins with a line `---`, `name: …`, `description: …` and a line `---`"
        );
        refuse(error::BAD_FRONT_MATTER, message)
    };
    let is_mark = |line: &str| line.trim_end() == "---";
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    if !is_mark(first) {
        return Err(missing("has no front matter"));
    }
    let mut end = 0;
    for line in rest.split_inclusive('\n') {
        if is_mark(line) {
            let body = rest.get(end + line.len()..).unwrap_or_default();
            return Ok((rest.get(..end).unwrap_or_default(), body));
        }
        end += line.len();
        if end > FRONT_MATTER_BYTES_MAX {
            let message = format!(
                "the front matter of SKILL.md has more than {FRONT_MATTER_BYTES_MAX} bytes: what is long belongs below it"
            );
            return Err(refuse(error::FRONT_MATTER_TOO_LARGE, message));
        }
    }
    Err(missing("has a front matter without an end"))
}

/// A name that agents take, for one that they do not: the front matter's slug, the name itself without capitals and
/// spaces, the folder's.
fn slug(name: &str, slug: Option<&str>, folder: Option<&str>) -> Option<String> {
    let is_plain = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, ' ' | '-' | '_' | '.'));
    let parts = name.split([' ', '-', '_', '.']).filter(|part| !part.is_empty());
    let lower = parts.collect::<Vec<_>>().join("-").to_ascii_lowercase();
    let candidates = [slug, is_plain.then_some(lower.as_str()), folder];
    candidates.into_iter().flatten().map(str::trim).find(|name| is_skill_name(name)).map(str::to_owned)
}

fn bad_name(name: &str) -> PackageError {
    refuse(
        error::BAD_NAME,
        format!(
            "the name {} in the front matter of SKILL.md is none that agents take, and nothing to take in its place was \
             found: use 1 to 64 of a-z, 0-9 and single hyphens between, and put the name for people into `title`",
            shown(name)
        ),
    )
}

/// The text with another name in its front matter: agents know a skill by the name that stands there. `None` where
/// the name is not on one line of its own.
fn renamed(text: &str, front_matter: &str, name: &str) -> Option<String> {
    let line = front_matter.lines().find(|line| line.starts_with("name:"))?;
    let out = text.replacen(&format!("\n{line}\n"), &format!("\nname: {name}\n"), 1);
    let (again, _) = split(&out).ok()?;
    (FrontMatter::parse(again).ok()?.name.as_deref() == Some(name)).then_some(out)
}

/// The first part of a change log: what is below its first second-level heading.
fn newest_change(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut lines = text.lines().skip_while(|line| !line.starts_with("## "));
    lines.next()?;
    Some(lines.take_while(|line| !line.starts_with("## ")).collect::<Vec<_>>().join("\n"))
}

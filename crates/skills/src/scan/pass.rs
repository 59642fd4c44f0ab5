//! One scan: the pieces of a package, each read in all ways, and what comes of it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use sha2::{Digest, Sha256};

use super::binary::{self, Inside};
use super::combine::Signal;
use super::kind::{self, Kind};
use super::{ANALYSER, FINDINGS_MAX, Scanner, hex, nested, score};
use crate::package::Package;
use crate::report::{Finding, Report, Severity, Unread};
use crate::shown;

/// How deep pieces stand in pieces.
const DEPTH_MAX: u32 = 5;
/// Pieces that are decoded or unpacked in one scan.
const PIECES_MAX: usize = 4_000;
/// Bytes that are decoded or unpacked in one scan.
const DECODED_MAX: u64 = 64 * 1024 * 1024;
/// Findings of one rule in one file.
const SAME_MAX: usize = 3;

/// Where a piece comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    File,
    /// A reader does not see it: decoded, in a comment, invisible.
    Hidden,
}

/// A file, or something inside one.
pub(super) struct Piece {
    /// As findings name it.
    pub(super) label: String,
    /// As rules see it.
    pub(super) path: String,
    pub(super) bytes: Vec<u8>,
    pub(super) depth: u32,
    pub(super) origin: Origin,
    /// Of the place in the file that it comes from; its own lines mean nothing then.
    pub(super) line: Option<u32>,
    /// What is in it was shown as an example of what is bad.
    pub(super) is_weak: bool,
}

/// Something found inside a piece, to be read in its turn.
pub(super) struct Part {
    pub(super) name: String,
    pub(super) path: String,
    pub(super) bytes: Vec<u8>,
    pub(super) origin: Origin,
    /// Where in the piece.
    pub(super) line: Option<u32>,
    pub(super) is_weak: bool,
}

impl Part {
    /// Something that a reader does not see.
    pub(super) fn hidden(name: String, path: &str, bytes: Vec<u8>, line: Option<u32>) -> Self {
        Self { name, path: path.to_owned(), bytes, origin: Origin::Hidden, line, is_weak: false }
    }
}

pub(super) struct Pass<'a> {
    pub(super) scanner: &'a Scanner,
    pub(super) package: &'a Package,
    pub(super) is_security_topic: bool,
    queue: VecDeque<Piece>,
    pieces: usize,
    decoded: u64,
    pub(super) findings: Vec<Finding>,
    pub(super) signals: Vec<Signal>,
    unread: BTreeMap<String, String>,
    bytes_unread: u64,
    pub(super) claims_no_network: bool,
}

/// Reads all of `package`.
pub(super) fn run(scanner: &Scanner, package: &Package) -> Report {
    let mut pass = Pass {
        scanner,
        package,
        is_security_topic: scanner.context.is_security_topic(&package.manifest),
        queue: VecDeque::new(),
        pieces: 0,
        decoded: 0,
        findings: Vec::new(),
        signals: Vec::new(),
        unread: BTreeMap::new(),
        bytes_unread: 0,
        claims_no_network: false,
    };
    if scanner.known_bad.contains(&package.content_hash) {
        pass.add(
            "known-bad.content",
            Severity::Critical,
            "SKILL.md",
            None,
            "the content is on the list of known malicious skills",
            None,
        );
    }
    for (path, bytes) in &package.files {
        if !scanner.known_bad.is_empty() && scanner.known_bad.contains(&hex(&Sha256::digest(bytes))) {
            pass.add(
                "known-bad.file",
                Severity::Critical,
                path,
                None,
                "the file is on the list of known malicious files",
                None,
            );
        }
        let before = pass.unread.len();
        pass.read(&Piece {
            label: path.clone(),
            path: path.clone(),
            bytes: bytes.clone(),
            depth: 0,
            origin: Origin::File,
            line: None,
            is_weak: false,
        });
        while let Some(piece) = pass.queue.pop_front() {
            pass.read(&piece);
        }
        if pass.unread.len() > before {
            pass.bytes_unread += bytes.len() as u64;
        }
    }
    pass.combine();
    pass.mismatch();
    pass.report()
}

impl Pass<'_> {
    fn read(&mut self, piece: &Piece) {
        match kind::of(&piece.path, &piece.bytes) {
            Kind::Markdown => self.text(piece, true, false),
            Kind::Script => self.text(piece, false, true),
            Kind::Data => self.text(piece, false, false),
            Kind::Image(image) => {
                let inside = binary::image(image, &piece.bytes);
                self.inside(piece, inside);
                self.polyglot(piece);
            }
            Kind::Media => {
                if piece.bytes.starts_with(b"SQLite format 3") {
                    self.text(piece, false, false);
                }
                self.polyglot(piece);
            }
            Kind::Pdf => {
                let inside = binary::pdf(&piece.bytes, DECODED_MAX.saturating_sub(self.decoded));
                self.inside(piece, inside);
            }
            Kind::Archive => {
                match nested::members(&piece.bytes, PIECES_MAX, DECODED_MAX.saturating_sub(self.decoded)) {
                    Ok(files) => {
                        for (path, bytes) in files {
                            let part = Part {
                                name: path.clone(),
                                path,
                                bytes,
                                origin: Origin::File,
                                line: None,
                                is_weak: false,
                            };
                            self.push(piece, part);
                        }
                    }
                    Err(reason) => self.unread(piece, &reason),
                }
            }
            Kind::Opaque(what) => self.unread(piece, what),
        }
    }

    pub(super) fn unread(&mut self, piece: &Piece, reason: &str) {
        self.unread.entry(piece.label.clone()).or_insert_with(|| reason.to_owned());
    }

    pub(super) fn push(&mut self, parent: &Piece, part: Part) {
        self.pieces += 1;
        self.decoded += part.bytes.len() as u64;
        if parent.depth >= DEPTH_MAX {
            self.unread(parent, "something in it is nested too deep");
        } else if self.pieces > PIECES_MAX || self.decoded > DECODED_MAX {
            self.unread(parent, "too much is encoded or packed in it");
        } else {
            self.queue.push_back(Piece {
                label: format!("{}!{}", parent.label, part.name),
                path: part.path,
                bytes: part.bytes,
                depth: parent.depth + 1,
                origin: if parent.origin == Origin::Hidden { Origin::Hidden } else { part.origin },
                line: parent.line.or(part.line),
                is_weak: parent.is_weak || part.is_weak,
            });
        }
    }

    fn inside(&mut self, piece: &Piece, inside: Inside) {
        for act in inside.acts {
            self.add(
                "file.active-document",
                Severity::High,
                &piece.label,
                None,
                &format!("a document that {act} when it is opened"),
                None,
            );
        }
        if let Some(reason) = inside.unread {
            self.unread(piece, &reason);
        }
        for (name, bytes) in inside.texts {
            self.push(piece, Part::hidden(name, "text.txt", bytes, None));
        }
        if let Some(bytes) = inside.appended {
            let what = kind::of("", &bytes);
            let severity = match what {
                Kind::Archive | Kind::Script | Kind::Opaque("compiled code (ELF)" | "compiled code (PE)") => {
                    Severity::High
                }
                _ => Severity::Low,
            };
            self.add(
                "file.appended-data",
                severity,
                &piece.label,
                None,
                "data stands behind the end of the image",
                None,
            );
            // The tail of a camera's picture is of no known form and is no code either; anything else is read.
            if !matches!(what, Kind::Opaque("data of a form that is not known")) {
                self.push(piece, Part::hidden("appended".to_owned(), "", bytes, None));
            }
        }
    }

    fn polyglot(&mut self, piece: &Piece) {
        if let Some(what) = binary::polyglot(&piece.bytes) {
            self.add(
                "file.polyglot",
                Severity::High,
                &piece.label,
                None,
                &format!("{what} inside a file that says it is none"),
                None,
            );
        }
    }

    pub(super) fn add(
        &mut self,
        rule: &str,
        severity: Severity,
        file: &str,
        line: Option<u32>,
        message: &str,
        excerpt: Option<&str>,
    ) {
        let same = self.findings.iter().filter(|known| known.rule == rule && known.file == file);
        if same.clone().any(|known| known.line == line && known.severity >= severity)
            || same.filter(|known| known.severity >= severity).count() >= SAME_MAX
        {
            return;
        }
        self.findings.push(Finding {
            rule: rule.to_owned(),
            severity,
            file: file.to_owned(),
            line,
            message: message.to_owned(),
            excerpt: excerpt.map(|text| shown::spelled(text, shown::EXCERPT_CHARS_MAX)),
            analyser: ANALYSER.to_owned(),
        });
    }

    fn report(mut self) -> Report {
        self.findings.sort_by(|a, b| {
            b.severity
                .cmp(&a.severity)
                .then_with(|| (&a.rule, &a.file, a.line).cmp(&(&b.rule, &b.file, b.line)))
        });
        let mut seen = BTreeSet::new();
        self.findings
            .retain(|finding| seen.insert((finding.rule.clone(), finding.file.clone(), finding.line)));
        self.findings.truncate(FINDINGS_MAX);
        let bytes_total: u64 = self.package.files.values().map(|bytes| bytes.len() as u64).sum();
        Report {
            score: score(&self.findings),
            findings: self.findings,
            unread: self.unread.into_iter().map(|(file, reason)| Unread { file, reason }).collect(),
            files_total: u32::try_from(self.package.files.len()).unwrap_or(u32::MAX),
            bytes_total,
            bytes_read: bytes_total.saturating_sub(self.bytes_unread),
            rules_version: self.scanner.version.clone(),
        }
    }
}

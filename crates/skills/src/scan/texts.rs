//! One text of a package, read in all ways.

use super::combine::Signal;
use super::context::Source;
use super::engine::{Hit, Set};
use super::hidden;
use super::kind::{self, Kind};
use super::pass::{Origin, Part, Pass, Piece};
use super::views::{self, Views};
use crate::report::Severity;
use crate::shown;

/// Signals of one kind in one file.
const SIGNALS_MAX: usize = 12;
/// A page or a bundle: everything on one line is near everything.
const LONG_LINE: usize = 4_000;

impl Pass<'_> {
    /// Reads a text.
    pub(super) fn text(&mut self, piece: &Piece, is_markdown: bool, is_script: bool) {
        let original = kind::decoded(&piece.bytes);
        let (hidden, plain) = hidden::analyse(&original, is_script);
        for found in hidden {
            let line = piece.line.or(Some(found.line));
            self.add(found.rule, found.severity, &piece.label, line, &found.message, found.says.as_deref());
            if let Some(says) = found.says.filter(|says| says.len() >= 8) {
                self.push(piece, Part::hidden("invisible".to_owned(), "text.txt", says.into_bytes(), line));
            }
        }
        let text = plain.as_deref().unwrap_or(&original);
        let views = if is_markdown { Views::markdown(text) } else { Views::plain(text) };
        let lines = Lines::of(text);
        self.rules(piece, Set::Code, &views.code, &lines, text, !is_markdown);
        self.rules(piece, Set::Prose, &views.prose, &lines, text, !is_markdown);
        if let Some(comments) = &views.hidden {
            let hidden = Piece {
                origin: Origin::Hidden,
                bytes: Vec::new(),
                label: piece.label.clone(),
                path: piece.path.clone(),
                ..*piece
            };
            self.rules(&hidden, Set::Prose, comments, &lines, comments, false);
            self.rules(&hidden, Set::Code, comments, &lines, comments, false);
        }
        if let Some(joined) = views::joined_strings(text) {
            let lines = Lines::of(&joined);
            self.rules(piece, Set::Code, &joined, &lines, &joined, !is_markdown);
            self.blobs(piece, &joined, &lines, is_markdown || is_script);
        } else {
            self.blobs(piece, text, &lines, is_markdown || is_script);
        }
        self.secrets(piece, text, &lines);
        for found in self.scanner.supply.look_alikes(&piece.path, text) {
            let line = piece.line.or(Some(lines.at(found.offset)));
            let message = format!("a package {} whose name is nearly {}", found.name, found.of);
            self.add(
                "supply.look-alike-package",
                Severity::High,
                &piece.label,
                line,
                &message,
                Some(&found.name),
            );
        }
    }

    fn blobs(&mut self, piece: &Piece, text: &str, lines: &Lines, is_code: bool) {
        let (blobs, all) = self.scanner.decoder.blobs(text);
        if !all {
            self.unread(piece, "too many encoded parts");
        }
        for blob in blobs {
            let line = lines.at(blob.offset);
            if let Kind::Opaque(what) = kind::of("", &blob.bytes) {
                self.add(
                    "obfuscation.embedded-program",
                    Severity::High,
                    &piece.label,
                    piece.line.or(Some(line)),
                    &format!("{what} as {} in a text", blob.encoding),
                    None,
                );
            }
            let is_weak = piece.is_weak
                || self.is_security_topic && self.scanner.context.warns(text, blob.offset, 0, true);
            let says = std::str::from_utf8(&blob.bytes).unwrap_or_default().trim();
            let is_address =
                self.scanner.context.is_address(says) && !["percent", "entities"].contains(&blob.encoding);
            if is_code && is_address && !is_weak {
                let message =
                    format!("an address that is written as {} so that it is not seen", blob.encoding);
                let at = piece.line.or(Some(line));
                self.add(
                    "obfuscation.encoded-address",
                    Severity::High,
                    &piece.label,
                    at,
                    &message,
                    Some(says),
                );
            }
            let name = format!("{}@{line}", blob.encoding);
            let part = Part::hidden(name, "", blob.bytes, Some(line));
            self.push(piece, Part { is_weak, ..part });
        }
    }

    fn secrets(&mut self, piece: &Piece, text: &str, lines: &Lines) {
        let path = piece.path.to_lowercase();
        let is_sample = ["test", "example", "sample", "fixture", "mock", "reference", "docs/"]
            .iter()
            .any(|word| path.contains(word));
        for secret in self.scanner.secrets.find(text, is_sample) {
            let line = piece.line.or(Some(lines.at(secret.offset)));
            let shown = text.get(secret.offset..secret.offset + secret.length).map(shown::masked);
            self.add(secret.rule, secret.severity, &piece.label, line, &secret.message, shown.as_deref());
        }
    }

    /// One set of rules over one view of a text.
    fn rules(&mut self, piece: &Piece, set: Set, view: &str, lines: &Lines, text: &str, is_program: bool) {
        let Ok(hits) = self.scanner.engine.scan(set, &piece.path, view.as_bytes()) else {
            self.unread(piece, "reading it took too long");
            return;
        };
        for hit in hits {
            let line = piece.line.unwrap_or_else(|| lines.at(hit.offset));
            let is_weak = !hit.rule.firm
                && (piece.is_weak
                    || piece.origin == Origin::File && self.is_weak(text, &hit, set, is_program));
            let excerpt = shown::excerpt(view, hit.offset, hit.length);
            match hit.rule.severity {
                None => self.signal(piece, &hit, view, line, excerpt, is_weak, is_program),
                Some(severity) => {
                    let severity = self.judged(severity, &hit, view, piece.origin, is_weak);
                    let (rule, message) = (hit.rule.id.clone(), hit.rule.message.clone());
                    self.add(&rule, severity, &piece.label, Some(line), &message, Some(&excerpt));
                }
            }
        }
    }

    /// Whether a match is a warning, an example or a pattern.
    fn is_weak(&self, text: &str, hit: &Hit<'_>, set: Set, is_program: bool) -> bool {
        let context = &self.scanner.context;
        if is_program {
            context.is_matcher(text, hit.offset, hit.length)
                || set == Set::Prose && context.is_denied(text, hit.offset, hit.length)
        } else {
            context.warns(text, hit.offset, hit.length, self.is_security_topic)
        }
    }

    /// How bad a match is where it stands.
    fn judged(
        &self,
        severity: Severity,
        hit: &Hit<'_>,
        view: &str,
        origin: Origin,
        is_weak: bool,
    ) -> Severity {
        let matched = shown::window(view, hit.offset, hit.offset + hit.length);
        let mut severity = severity;
        if [
            "shell.download-and-run",
            "injection.remote-instructions",
            "supply.tool-server",
            "supply.install-from-url",
        ]
        .contains(&hit.rule.id.as_str())
        {
            let address = shown::window(view, hit.offset, hit.offset + hit.length + 200);
            severity = match self.scanner.context.source(address, &self.package.manifest) {
                Source::Known | Source::Local => Severity::Low,
                // Code that is run as it comes is worse than an installer, whatever it is called.
                Source::Own if severity == Severity::Critical => Severity::High,
                Source::Own => Severity::Medium.min(severity),
                Source::Odd => Severity::Critical.max(severity),
                Source::Other => severity,
            };
        }
        if hit.rule.id == "exfiltration.prose" && is_header(matched) {
            return Severity::Low;
        }
        if is_weak {
            return severity.min(Severity::Low);
        }
        match (origin, severity) {
            (Origin::Hidden, Severity::Medium) => Severity::High,
            (Origin::Hidden, Severity::High) => Severity::Critical,
            _ => severity,
        }
    }

    #[expect(clippy::too_many_arguments, reason = "all of a signal, called from one place")]
    fn signal(
        &mut self,
        piece: &Piece,
        hit: &Hit<'_>,
        view: &str,
        line: u32,
        excerpt: String,
        is_weak: bool,
        is_program: bool,
    ) {
        let id = &hit.rule.id;
        if id == "claim.no-network" {
            self.claims_no_network |= piece.path == "SKILL.md";
            return;
        }
        let after = shown::window(view, hit.offset, hit.offset + hit.length + 300);
        let before = shown::window(view, hit.offset.saturating_sub(800), hit.offset);
        let context = &self.scanner.context;
        if id.starts_with("sink.") && context.source(after, &self.package.manifest) == Source::Local {
            return;
        }
        if id == "source.credential.ssh" && before.trim_end().ends_with("-i") {
            // A key that is used to log in stays where it is.
            return;
        }
        let host = context
            .host(after)
            .or_else(|| before.rfind("http").and_then(|at| context.host(before.get(at..)?)));
        let same =
            self.signals.iter().filter(|signal| signal.id == *id && signal.file == piece.label).count();
        if same >= SIGNALS_MAX {
            return;
        }
        // Bundles: on a line of a page's length, distance is counted in characters.
        let line = if view.len() > LONG_LINE
            && view.bytes().filter(|b| *b == b'\n').count() * LONG_LINE < view.len()
        {
            u32::try_from(hit.offset / 80).unwrap_or(u32::MAX)
        } else {
            line
        };
        self.signals.push(Signal {
            id: id.clone(),
            message: hit.rule.message.clone(),
            file: piece.label.clone(),
            line,
            is_program,
            excerpt,
            is_weak,
            host,
        });
    }
}

/// A key that goes where keys go, in a documented call.
fn is_header(matched: &str) -> bool {
    let matched = matched.to_lowercase();
    ["authorization", "bearer", "x-api-key", "-h \"", "-u \""].iter().any(|header| matched.contains(header))
}

/// Where lines begin.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        Self(memchr::memchr_iter(b'\n', text.as_bytes()).collect())
    }

    /// From 1.
    fn at(&self, offset: usize) -> u32 {
        u32::try_from(self.0.partition_point(|end| *end < offset) + 1).unwrap_or(u32::MAX)
    }
}

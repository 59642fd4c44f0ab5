//! Signals that mean little alone: what is read, and where it could go, in one script or one part of a text.

use crate::report::Severity;

/// Where a signal stands.
#[derive(Debug, Clone)]
pub(super) struct Signal {
    pub(super) id: String,
    pub(super) message: String,
    pub(super) file: String,
    pub(super) line: u32,
    /// In a program: everything in it can reach everything. In a text, only what stands together belongs together.
    pub(super) is_program: bool,
    pub(super) excerpt: String,
    /// A warning, an example or a pattern.
    pub(super) is_weak: bool,
    /// Of a sink: the host it names, if it does.
    pub(super) host: Option<String>,
}

/// A finding made of two signals.
#[derive(Debug)]
pub(super) struct Combined {
    pub(super) rule: &'static str,
    pub(super) severity: Severity,
    pub(super) message: String,
    pub(super) at: Signal,
}

/// What together means what.
struct Pair {
    source: &'static str,
    sink: &'static str,
    rule: &'static str,
    severity: Severity,
    /// Lines between the two at the most, in a program and in a text.
    program_lines: u32,
    text_lines: u32,
}

const fn pair(
    source: &'static str,
    sink: &'static str,
    rule: &'static str,
    severity: Severity,
    program_lines: u32,
    text_lines: u32,
) -> Pair {
    Pair { source, sink, rule, severity, program_lines, text_lines }
}

/// The first that fits two signals counts.
const PAIRS: &[Pair] = &[
    pair("source.credential", "sink.capture-host", "exfiltration.credentials", Severity::Critical, 400, 12),
    pair("source.secret", "sink.capture-host", "exfiltration.secrets", Severity::Critical, 400, 12),
    pair("source.private", "sink.capture-host", "exfiltration.private-data", Severity::Critical, 400, 12),
    pair("source.credential", "sink.odd-host", "exfiltration.credentials", Severity::Critical, 200, 8),
    pair("source.secret", "sink.odd-host", "exfiltration.secrets", Severity::Critical, 120, 8),
    pair("source.private", "sink.odd-host", "exfiltration.private-data", Severity::High, 120, 8),
    pair("source.credential", "sink.drop-host", "exfiltration.credentials", Severity::High, 120, 6),
    pair("source.secret.environment", "sink.drop-host", "exfiltration.secrets", Severity::High, 120, 6),
    pair("source.secret.search", "sink.drop-host", "exfiltration.secrets", Severity::High, 120, 6),
    pair("source.private.user", "sink.drop-host", "exfiltration.private-data", Severity::High, 80, 6),
    pair("source.private.host", "sink.drop-host", "exfiltration.private-data", Severity::High, 40, 4),
    pair("source.credential.ssh", "sink.send", "exfiltration.credentials", Severity::High, 120, 6),
    pair("source.credential.browser", "sink.send", "exfiltration.credentials", Severity::High, 120, 6),
    pair("source.credential.keychain", "sink.send", "exfiltration.credentials", Severity::Medium, 60, 4),
    pair("source.credential.wallet", "sink.send", "exfiltration.credentials", Severity::High, 60, 4),
    pair("source.credential.cloud", "sink.send", "exfiltration.credentials", Severity::High, 80, 4),
    pair("source.credential.agent", "sink.send-file", "exfiltration.agent", Severity::High, 40, 4),
    pair("source.credential.agent", "sink.send", "exfiltration.agent", Severity::Medium, 80, 4),
    pair("source.secret.environment", "sink.send", "exfiltration.secrets", Severity::High, 60, 4),
    pair("source.secret.search", "sink.send", "exfiltration.secrets", Severity::High, 80, 6),
    pair("source.secret.env-file", "sink.send", "exfiltration.secrets", Severity::Low, 40, 3),
    pair("source.secret.config", "sink.send-secrets", "exfiltration.secrets", Severity::High, 400, 6),
    pair("source.secret.env-file", "sink.send-secrets", "exfiltration.secrets", Severity::Medium, 200, 6),
    pair("source.secret.named", "sink.odd-host", "exfiltration.secrets", Severity::High, 30, 6),
    pair("source.secret.named", "sink.send", "exfiltration.secrets", Severity::High, 8, 6),
    pair("source.code.dynamic", "sink.fetch", "shell.download-and-run", Severity::High, 160, 8),
    pair("source.location", "sink.send", "exfiltration.private-data", Severity::High, 40, 8),
    pair("source.private.files", "sink.send", "exfiltration.private-data", Severity::High, 60, 4),
    pair("source.private.user", "sink.send", "exfiltration.private-data", Severity::Medium, 60, 4),
];

/// Findings of one package. A pair counts once for each file.
pub(super) fn combine(signals: &[Signal]) -> Vec<Combined> {
    let mut found: Vec<Combined> = Vec::new();
    for source in signals.iter().filter(|signal| signal.id.starts_with("source.")) {
        for sink in
            signals.iter().filter(|signal| signal.id.starts_with("sink.") && signal.file == source.file)
        {
            let lines = source.line.abs_diff(sink.line);
            let fits = |pair: &&Pair| {
                let most = if source.is_program { pair.program_lines } else { pair.text_lines };
                source.id.starts_with(pair.source) && sink.id.starts_with(pair.sink) && lines <= most
            };
            let Some(pair) = PAIRS.iter().find(fits) else { continue };
            if source.id == "source.secret.named" && is_for(source, sink) {
                continue;
            }
            let is_weak = source.is_weak || sink.is_weak;
            let severity = if is_weak { Severity::Low } else { pair.severity };
            let known =
                found.iter_mut().find(|known| known.rule == pair.rule && known.at.file == source.file);
            if let Some(known) = known {
                if known.severity >= severity {
                    continue;
                }
                known.severity = severity;
                known.message = message(source, sink);
                known.at = source.clone();
            } else {
                found.push(Combined {
                    rule: pair.rule,
                    severity,
                    message: message(source, sink),
                    at: source.clone(),
                });
            }
        }
    }
    across_files(signals, &mut found);
    found
}

/// Whether a service's key goes to that service, or in a header as such keys do.
fn is_for(source: &Signal, sink: &Signal) -> bool {
    const SERVICES: &[(&str, &str)] = &[
        ("AWS", "aws"),
        ("ANTHROPIC", "anthropic"),
        ("OPENAI", "openai"),
        ("GITHUB", "github"),
        ("GH_", "github"),
        ("NPM", "npm"),
        ("PYPI", "pypi"),
        ("SLACK", "slack"),
        ("STRIPE", "stripe"),
        ("DOCKER", "docker"),
        ("SENDGRID", "sendgrid"),
        ("TWILIO", "twilio"),
        ("GOOGLE", "google"),
        ("GEMINI", "google"),
        ("AZURE", "azure"),
        ("HF_", "huggingface"),
        ("DISCORD", "discord"),
        ("TELEGRAM", "telegram"),
        ("ALIBABA", "aliyun"),
    ];
    let words = source.excerpt.to_lowercase();
    if ["authorization", "bearer", "api-key", "api_key=", "apikey", "headers", "token=", "auth="]
        .iter()
        .any(|word| words.contains(word))
    {
        return true;
    }
    let Some(host) = &sink.host else { return true };
    SERVICES.iter().any(|(key, service)| source.excerpt.contains(key) && host.contains(service))
}

fn message(source: &Signal, sink: &Signal) -> String {
    format!("reads {} and, on line {}, {}", source.message, sink.line, sink.message)
}

/// One program reads, another sends: each looks harmless.
fn across_files(signals: &[Signal], found: &mut Vec<Combined>) {
    let strong = |signal: &&Signal| signal.is_program && !signal.is_weak;
    let sources = signals.iter().filter(strong).filter(|signal| {
        [
            "source.credential.ssh",
            "source.credential.browser",
            "source.credential.wallet",
            "source.credential.cloud",
            "source.secret.environment",
            "source.secret.search",
        ]
        .iter()
        .any(|id| signal.id.starts_with(id))
    });
    for source in sources {
        if found.iter().any(|known| known.at.file == source.file && known.severity >= Severity::Medium) {
            continue;
        }
        let elsewhere = |ids: &[&str]| {
            let is_one = |sink: &&Signal| sink.file != source.file && ids.contains(&sink.id.as_str());
            signals.iter().filter(strong).find(is_one)
        };
        let sink = elsewhere(&["sink.odd-host", "sink.capture-host"]).or_else(|| elsewhere(&["sink.send"]));
        if let Some(sink) = sink {
            let severity = if sink.id == "sink.send" { Severity::Medium } else { Severity::High };
            found.push(Combined {
                rule: "exfiltration.across-files",
                severity,
                message: format!("reads {}, and {} {}", source.message, sink.file, sink.message),
                at: source.clone(),
            });
        }
    }
}

//! What shows only when everything has been read: signals that stand together, orders and what they run, words and
//! deeds.

use super::combine::{self, Signal};
use super::pass::Pass;
use crate::report::Severity;

impl Pass<'_> {
    /// Findings of everything that was read.
    pub(super) fn combine(&mut self) {
        self.orders();
        for combined in combine::combine(&self.signals) {
            let at = combined.at;
            self.add(
                combined.rule,
                combined.severity,
                &at.file,
                Some(at.line),
                &combined.message,
                Some(&at.excerpt),
            );
        }
    }

    /// A standing order to run a script, and a script that harms.
    fn orders(&mut self) {
        let harms = |signal: &&Signal| signal.id == "act.harm" && signal.is_program && !signal.is_weak;
        let found = self
            .findings
            .iter()
            .filter(|finding| finding.rule == "injection.standing-order")
            .find_map(|order| {
                let excerpt = order.excerpt.as_deref()?;
                let named =
                    |signal: &&Signal| excerpt.contains(signal.file.rsplit('/').next().unwrap_or_default());
                let harm = self.signals.iter().filter(harms).find(named)?;
                let message = format!("{}; {} {}", order.message, harm.file, harm.message);
                Some((order.file.clone(), order.line, message, excerpt.to_owned()))
            });
        if let Some((file, line, message, excerpt)) = found {
            self.add("injection.standing-order", Severity::High, &file, line, &message, Some(&excerpt));
        }
    }

    /// What the skill says of itself and what it does.
    pub(super) fn mismatch(&mut self) {
        let strong = |id: &str| {
            let signal = |signal: &&Signal| signal.id.starts_with(id) && signal.is_program && !signal.is_weak;
            self.signals.iter().find(signal).cloned()
        };
        let sink = strong("sink.send");
        let source = ["source.credential.ssh", "source.credential.browser", "source.credential.wallet"]
            .into_iter()
            .find_map(strong);
        if self.claims_no_network
            && let Some(sink) = sink
        {
            self.add(
                "mismatch.network",
                Severity::Medium,
                &sink.file,
                Some(sink.line),
                "the skill says that nothing leaves the machine, and sends data",
                Some(&sink.excerpt),
            );
        }
        if !self.is_security_topic
            && let Some(source) = source
        {
            let words = format!("{} {}", self.package.manifest.name, self.package.manifest.description)
                .to_lowercase();
            let told = [
                "ssh",
                "key",
                "credential",
                "browser",
                "cookie",
                "password",
                "wallet",
                "crypto",
                "deploy",
                "server",
                "remote",
                "backup",
                "git",
                "secret",
                "auth",
                "密钥",
                "浏览器",
                "钱包",
                "服务器",
                "部署",
                "备份",
            ];
            if !told.iter().any(|word| words.contains(word)) {
                let message = format!("reads {}, of which its description says nothing", source.message);
                self.add(
                    "mismatch.undeclared-access",
                    Severity::Medium,
                    &source.file,
                    Some(source.line),
                    &message,
                    Some(&source.excerpt),
                );
            }
        }
    }
}

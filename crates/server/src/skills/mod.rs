//! Runs what looks at skills beside the rules. What they are given and what their answers mean is in
//! [`creel_skills::analyse`]; here is the I/O, each with a deadline.

mod command;
mod judge;

use std::sync::Arc;

use creel_control::skill::Analyse;
use creel_skills::analyse::Analysis;
use creel_skills::package::Package;
use futures_util::future::BoxFuture;
use sha2::{Digest, Sha256};

use crate::config::{OnFailure, SkillsConfig};
use command::Command;
use judge::Judge;

/// All analysers that are configured.
#[derive(Debug)]
pub(crate) struct Analysers {
    commands: Vec<Command>,
    judge: Option<Judge>,
    version: String,
}

impl Analysers {
    /// `None` where none is configured.
    ///
    /// # Errors
    /// Where no TLS client can be made.
    pub(crate) fn new(config: &SkillsConfig) -> Result<Option<Self>, rustls::Error> {
        if config.analysers.is_empty() && config.judge.is_none() {
            return Ok(None);
        }
        let mut version = Sha256::new();
        for analyser in &config.analysers {
            version.update(format!("{}\0{:?}\0", analyser.name, analyser.command));
        }
        if let Some(judge) = &config.judge {
            let prompt = creel_skills::analyse::judge::PROMPT_VERSION;
            version.update(format!("{prompt}\0{}\0{}\0{}", judge.base_url, judge.model, judge.max_bytes));
        }
        let version = hex::encode(version.finalize()).chars().take(12).collect();
        Ok(Some(Self {
            commands: config.analysers.iter().cloned().map(Command::new).collect(),
            judge: config.judge.as_ref().map(Judge::new).transpose()?,
            version,
        }))
    }
}

impl Analyse for Analysers {
    fn version(&self) -> String {
        self.version.clone()
    }

    /// One after the other: a machine that serves has other things to do.
    fn analyse(&self, package: Arc<Package>) -> BoxFuture<'_, Analysis> {
        Box::pin(async move {
            let mut all = Analysis::default();
            for command in &self.commands {
                let told = command.analyse(package.clone()).await;
                let (name, on_failure) = command.identity();
                all.add(told.unwrap_or_else(|error| failed(name, on_failure, &error)));
            }
            if let Some(judge) = &self.judge {
                let told = judge.analyse(&package).await;
                all.add(told.unwrap_or_else(|error| failed(judge::NAME, judge.on_failure(), &error)));
            }
            all
        })
    }
}

fn failed(analyser: &str, on_failure: OnFailure, error: &dyn std::error::Error) -> Analysis {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let reason = causes.map(ToString::to_string).collect::<Vec<_>>().join(": ");
    tracing::warn!(analyser, error = reason, "an analyser of skills failed");
    match on_failure {
        OnFailure::Hold => Analysis::failed(analyser, &reason),
        OnFailure::Review => Analysis::failed_for_review(analyser, &reason),
    }
}

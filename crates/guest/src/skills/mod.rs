//! Keeps an agent's skills as the desired state has them: fetches, installs, looks for others, and tells.
//!
//! One task owns all of it. The configuration that names the skills is the supervisor's; the two share nothing but the
//! desired state and the folder of authorised skills, and neither waits for the other: OpenClaw watches the folder.
//! All work on files is in [`Hands`], off the runtime's thread.

mod agent_side;
mod content;
mod judge;
mod managed;
mod scan;
mod tree;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use creel_wire::guest::{
    AgentProvider, DesiredState, Skill, SkillInventory, SkillPin, SkillSeen, SkillsConfig,
};
use creel_wire::skill_content::is_skill_name;
use tokio::sync::watch;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep_until};

use self::agent_side::{Quarantine, ensure_links};
use self::content::{Cache, ContentError, Source};
use self::judge::{Facts, Placed, Trouble, Verdict, judge, puts_back};
use self::managed::{Managed, Standing, is_hash};
use self::scan::{Found, Scan, Scanner};
use crate::http::HttpClient;
use crate::identity::Identity;
use crate::openclaw::process::Installation;
use crate::openclaw::rpc::OpenClawClient;
use crate::openclaw::skills::{Listed, Packaged};
use crate::options::GuestOptions;
use crate::published::Published;

/// Fetches at once. Each may hold an archive of 70 MB.
const FETCHES_MAX: usize = 2;
/// Between two tries of a fetch that may help soon, and of one that probably does not.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(300);
/// How often a running agent is asked when nothing has changed. After a change it is asked at every look: always for as
/// long as OpenClaw may take to see it (1 to 3 s), and longer while something is on its way.
const ASK_QUIET: Duration = Duration::from_secs(15);
const ASK_SOON: Duration = Duration::from_secs(6);
const ASK_PENDING: Duration = Duration::from_secs(30);
/// How long what was taken away stays in the inventory.
const TOLD: Duration = Duration::from_secs(60);

/// One content that is being fetched, or will be again.
#[derive(Debug)]
struct Fetch {
    failures: u32,
    not_before: Instant,
    running: bool,
    trouble: Trouble,
}

/// What a look did and saw.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Looked {
    placed: BTreeMap<String, Placed>,
    scan: Scan,
    /// Contents that have to be fetched.
    wanted: BTreeSet<String>,
    error: Option<String>,
}

/// Everything that touches files.
#[derive(Debug)]
struct Hands {
    installation: Arc<Installation>,
    managed: Managed,
    cache: Cache,
    scanner: Scanner,
    quarantine: Quarantine,
    package: Arc<Packaged>,
}

impl Hands {
    fn new(installation: Arc<Installation>, package: Arc<Packaged>, options: &GuestOptions) -> Self {
        let (host, ours) = (installation.host(), installation.inside().skills_dir());
        Self {
            managed: Managed::new(host.skills_dir(), installation.agent_user()),
            cache: Cache::new(options.guest_dir.join("skills")),
            scanner: Scanner::new(host.root().to_owned(), ours),
            quarantine: Quarantine::new(options.guest_dir.join("quarantine"), host.root().to_owned()),
            package,
            installation,
        }
    }

    /// Installs what is here, removes what is not wanted, and looks at the rest.
    fn work(&mut self, config: &SkillsConfig) -> Looked {
        let mut looked = Looked::default();
        if let Err(error) = self.try_work(config, &mut looked) {
            looked.error = Some(error.to_string());
        }
        looked
    }

    fn try_work(&mut self, config: &SkillsConfig, looked: &mut Looked) -> std::io::Result<()> {
        if !self.installation.host().skills_dir().exists() {
            self.installation.ensure_layout()?;
        }
        for skill in &config.install {
            let placed = self.place(config, skill, &mut looked.wanted);
            looked.placed.insert(skill.pin.name.clone(), placed);
        }
        let pins: Vec<&SkillPin> = config.install.iter().map(|skill| &skill.pin).collect();
        self.managed.keep_only(&pins)?;
        self.cache.keep_only(|hash| pins.iter().any(|pin| pin.content_hash == hash));
        let whole = |name: &&str| {
            matches!(looked.placed.get(*name), Some(Placed { standing: Standing::Whole(_), .. }))
        };
        let hidden: BTreeSet<&str> = pins
            .iter()
            .map(|pin| pin.name.as_str())
            .filter(|name| self.package.has(name))
            .filter(whole)
            .collect();
        let (host, ours) = (self.installation.host(), self.installation.inside().skills_dir());
        // A failure here is the agent's doing, and shows in what it lists.
        if let Err(error) = ensure_links(host.root(), self.installation.agent_user(), &ours, &hidden) {
            tracing::warn!(error = %error, "the agent's folder of skills does not take links");
        }
        looked.scan = self.scanner.scan()?;
        Ok(())
    }

    fn place(&mut self, config: &SkillsConfig, skill: &Skill, wanted: &mut BTreeSet<String>) -> Placed {
        let pin = &skill.pin;
        let lasting = |why: String| Some(Trouble::Lasting(why));
        if !is_skill_name(&pin.name) || !is_hash(&pin.content_hash) {
            let trouble = lasting("its name or its hash is none that a skill may have".to_owned());
            return Placed { standing: Standing::Missing, trouble };
        }
        let mut standing = self.managed.standing(&pin.name);
        let leave = match &standing {
            Standing::Whole(hash) => *hash == pin.content_hash,
            Standing::Missing => false,
            Standing::Changed(_) => !puts_back(config),
        };
        if leave {
            return Placed { standing, trouble: None };
        }
        let Some(files) = self.cache.get(&pin.content_hash) else {
            wanted.insert(pin.content_hash.clone());
            return Placed { standing, trouble: None };
        };
        let installed = self.managed.install(pin, &files);
        standing = self.managed.standing(&pin.name);
        let trouble =
            installed.err().and_then(|error| lasting(format!("it could not be installed: {error}")));
        Placed { standing, trouble }
    }

    /// Takes things away; gives what the inventory says of each.
    fn take_away(&self, remove: Vec<(Found, SkillSeen)>) -> Vec<SkillSeen> {
        let taken = remove.into_iter().map(|(found, mut seen)| {
            seen.note = Some(match self.quarantine.take(&found) {
                Ok(name) => format!("taken away from the agent, kept in the guest's quarantine/{name}"),
                Err(error) => format!("it could not be taken away: {error}"),
            });
            seen
        });
        taken.collect()
    }
}

/// See the module.
pub(crate) struct Keeper {
    hands: Arc<Mutex<Hands>>,
    source: Source,
    http: HttpClient,
    inside: PathBuf,
    ours: PathBuf,
    package: Arc<Packaged>,
    every: Duration,
    desired: watch::Receiver<Option<DesiredState>>,
    published: watch::Receiver<Published>,
    inventory: watch::Sender<Option<SkillInventory>>,
    fetches: HashMap<String, Fetch>,
    fetching: JoinSet<(String, Result<(), ContentError>)>,
    listed: Option<Vec<Listed>>,
    /// When the agent was asked last, and when something changed last that it has to see.
    asked: Option<Instant>,
    changed: Instant,
    /// What was taken away lately.
    taken: Vec<(Instant, SkillSeen)>,
    last: Looked,
    settled: bool,
}

impl Keeper {
    pub(crate) fn new(
        options: &GuestOptions,
        installation: Arc<Installation>,
        http: HttpClient,
        identity: Arc<Identity>,
        desired: watch::Receiver<Option<DesiredState>>,
        published: watch::Receiver<Published>,
    ) -> (Self, watch::Receiver<Option<SkillInventory>>) {
        let (inventory, receiver) = watch::channel(None);
        let inside = installation.inside();
        let package = Arc::new(Packaged::new(installation.package_dir(), inside));
        let hands = Hands::new(installation.clone(), package.clone(), options);
        let source = Source::new(http.clone(), &options.server_url, identity, hands.cache.clone());
        let keeper = Self {
            source,
            http,
            inside: inside.root().to_owned(),
            ours: inside.skills_dir(),
            package,
            hands: Arc::new(Mutex::new(hands)),
            every: Duration::from_millis(options.timing.skills_scan_ms),
            desired,
            published,
            inventory,
            fetches: HashMap::new(),
            fetching: JoinSet::new(),
            listed: None,
            asked: None,
            changed: Instant::now(),
            taken: Vec::new(),
            last: Looked::default(),
            settled: false,
        };
        (keeper, receiver)
    }

    /// Works for as long as the guest does.
    pub(crate) async fn run(mut self) -> Infallible {
        let mut generation = None;
        loop {
            let desired = self.desired.borrow_and_update().clone();
            let desired = desired.filter(|desired| desired.provider == AgentProvider::OpenClaw);
            let Some((current, config)) =
                desired.and_then(|desired| Some((desired.generation, desired.skills?)))
            else {
                // Nobody says anything of skills: they are left alone.
                self.inventory.send_if_modified(|inventory| inventory.take().is_some());
                generation = None;
                if self.desired.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
                continue;
            };
            let again = Instant::now() + self.every;
            if generation != Some(current) {
                generation = Some(current);
                // What was refused may be there now.
                self.fetches.retain(|_, fetch| fetch.running);
                self.on_change();
            }
            self.look(current, config).await;
            self.wait(again).await;
        }
    }

    fn on_change(&mut self) {
        self.changed = Instant::now();
        self.asked = None;
    }

    /// Until the next look: its time, a new desired state, another agent or a fetched content.
    async fn wait(&mut self, again: Instant) {
        let due = self.fetches.values().filter(|fetch| !fetch.running).map(|fetch| fetch.not_before).min();
        let until = due.map_or(again, |due| due.max(Instant::now()).min(again));
        let endpoint = |published: &Published| published.endpoint.is_some();
        let had = endpoint(&self.published.borrow());
        let another = async {
            // The sender lives as long as the guest.
            let _ = self.published.wait_for(|published| endpoint(published) != had).await;
        };
        tokio::select! {
            () = sleep_until(until) => {}
            _ = self.desired.changed() => {}
            () = another => self.on_change(),
            Some(done) = self.fetching.join_next(), if !self.fetching.is_empty() => {
                if let Ok((hash, outcome)) = done {
                    self.on_fetched(hash, outcome);
                }
            }
        }
    }

    fn on_fetched(&mut self, hash: String, outcome: Result<(), ContentError>) {
        let Some(fetch) = self.fetches.get_mut(&hash) else { return };
        match outcome {
            Ok(()) => {
                self.fetches.remove(&hash);
                self.on_change();
            }
            Err(error) => {
                let words = error.words();
                tracing::warn!("a skill is not there: {words}");
                let first = if error.is_passing() { RETRY_FIRST } else { RETRY_MAX / 5 };
                let pause = first.saturating_mul(1 << fetch.failures.min(16)).min(RETRY_MAX);
                fetch.trouble =
                    if error.is_passing() { Trouble::Passing(words) } else { Trouble::Lasting(words) };
                fetch.failures = fetch.failures.saturating_add(1);
                fetch.running = false;
                // Half of it at random, so that a fleet does not return all at once.
                fetch.not_before = Instant::now() + pause.mul_f64(0.5 + rand::random::<f64>() / 2.0);
            }
        }
    }

    async fn look(&mut self, generation: i64, config: SkillsConfig) {
        let hands = self.hands.clone();
        let worked = spawn_blocking(move || {
            let looked = hands.lock().unwrap_or_else(PoisonError::into_inner).work(&config);
            (config, looked)
        });
        let Ok((config, mut looked)) = worked.await else {
            return tracing::error!("a look at the agent's skills broke down");
        };
        self.start_fetches(&config, &mut looked);
        if looked != self.last {
            self.on_change();
            self.last = looked.clone();
        }
        self.ask().await;
        let verdict = judge(&Facts {
            generation,
            config: &config,
            placed: &looked.placed,
            scan: &looked.scan,
            listed: self.listed.as_deref(),
            inside: &self.inside,
            managed: &self.ours,
        });
        self.settled = verdict.settled;
        self.tell(verdict, looked.error).await;
    }

    /// Starts what has to be fetched, and says of each skill that waits for its content why it does.
    fn start_fetches(&mut self, config: &SkillsConfig, looked: &mut Looked) {
        self.fetches.retain(|hash, fetch| fetch.running || looked.wanted.contains(hash));
        for skill in &config.install {
            let hash = &skill.pin.content_hash;
            if !looked.wanted.contains(hash) {
                continue;
            }
            let now = Instant::now();
            let fetch = self.fetches.entry(hash.clone()).or_insert_with(|| Fetch {
                failures: 0,
                not_before: now,
                running: false,
                trouble: Trouble::Passing("its content is being fetched".to_owned()),
            });
            if !fetch.running && fetch.not_before <= now && self.fetching.len() < FETCHES_MAX {
                fetch.running = true;
                let (source, hash, bytes) = (self.source.clone(), hash.clone(), skill.archive_bytes);
                self.fetching.spawn(async move { (hash.clone(), source.fetch(hash, bytes).await) });
            }
            if let Some(placed) = looked.placed.get_mut(&skill.pin.name) {
                placed.trouble.get_or_insert_with(|| fetch.trouble.clone());
            }
        }
    }

    /// Asks a running agent what it sees; what it said last stands until it says something else.
    async fn ask(&mut self) {
        let now = Instant::now();
        let patience = if self.settled { ASK_SOON } else { ASK_PENDING };
        if now > self.changed + patience && self.asked.is_some_and(|asked| now < asked + ASK_QUIET) {
            return;
        }
        let Some(endpoint) = self.published.borrow().endpoint.clone() else { return };
        self.asked = Some(now);
        match OpenClawClient::new(self.http.clone(), endpoint).skills(&self.package).await {
            Ok(listed) => self.listed = Some(listed),
            Err(error) => tracing::debug!(error = %error, "OpenClaw did not say which skills it has"),
        }
    }

    async fn tell(&mut self, verdict: Verdict, error: Option<String>) {
        let Verdict { mut inventory, remove, .. } = verdict;
        if !remove.is_empty() {
            let hands = self.hands.clone();
            let taking = spawn_blocking(move || {
                hands.lock().unwrap_or_else(PoisonError::into_inner).take_away(remove)
            });
            let Ok(taken) = taking.await else {
                return tracing::error!("taking skills away from the agent broke down");
            };
            tracing::info!("took {} skills away from the agent, or tried to", taken.len());
            inventory
                .skills
                .retain(|seen| !taken.iter().any(|one| one.name == seen.name && one.place == seen.place));
            let now = Instant::now();
            self.taken
                .retain(|(_, old)| !taken.iter().any(|one| one.name == old.name && one.place == old.place));
            self.taken.extend(taken.into_iter().map(|seen| (now, seen)));
            self.on_change();
        }
        let now = Instant::now();
        self.taken.retain(|(when, _)| now < *when + TOLD);
        let known = &inventory.skills;
        let told =
            |seen: &&SkillSeen| !known.iter().any(|one| one.name == seen.name && one.place == seen.place);
        let taken: Vec<SkillSeen> = self.taken.iter().map(|(_, seen)| seen).filter(told).cloned().collect();
        let room = creel_wire::guest::SKILLS_SEEN_MAX.saturating_sub(taken.len());
        inventory.truncated |= inventory.skills.len() > room;
        inventory.skills.truncate(room);
        inventory.skills.extend(taken);
        if let Some(error) = error {
            tracing::error!("the agent's skills could not be looked after: {error}");
        }
        self.inventory.send_if_modified(|current| {
            let changed = current.as_ref() != Some(&inventory);
            *current = Some(inventory);
            changed
        });
    }
}

//! What a process leaves behind that dies between the upload of a skill and its installation.

mod pending;
mod stops;

use std::future::Future;
use std::path::Path as FilePath;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use creel_control::access::Actor;
use creel_control::account::Accounts;
use creel_control::object::{FileKind, Objects};
use creel_control::page::PageNumber;
use creel_control::retention::Retention;
use creel_control::seal::SealKey;
use creel_control::skill::{
    Channel, NewSkill, ParseStatus, PublishStatus, ScanStatus, SkillFilter, SkillView, Skills,
};
use creel_skills::scan::LazyScanner;
use creel_testkit::{TestStore, both_databases};
use creel_wire::id::{AccountId, SkillId};
use jiff::SignedDuration;
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;

use crate::model::actor_of;
use stops::{Stop, Stops};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\nrest";
/// A little more than a claim lasts.
const CLAIM: SignedDuration = SignedDuration::from_secs(11);

struct Place {
    t: TestStore,
    directory: tempfile::TempDir,
    files: Arc<dyn ObjectStore>,
    scanner: Arc<LazyScanner>,
    account: AccountId,
}

/// What a client knows of its skill: it outlives the server.
#[derive(Debug, Clone)]
struct Client {
    slug: String,
    package: (String, String),
    icon: (String, String),
    /// Its calls that were answered.
    task: Arc<Mutex<Option<String>>>,
    made: Arc<Mutex<Option<SkillId>>>,
}

impl Place {
    async fn new(t: TestStore) -> Self {
        let accounts = Accounts::new(t.store.clone(), t.sealer.clone(), t.ids.clone());
        let account = accounts.create("acme").await.unwrap().id;
        let directory = tempfile::tempdir().unwrap();
        let files = LocalFileSystem::new_with_prefix(directory.path()).unwrap().with_automatic_cleanup(true);
        Self { t, directory, files: Arc::new(files), scanner: Arc::new(LazyScanner::default()), account }
    }

    fn actor(&self, action: &'static str) -> Actor {
        actor_of(&self.t, self.account.as_str(), action)
    }

    fn objects(&self, files: Arc<dyn ObjectStore>) -> Objects {
        let t = &self.t;
        Objects::over(files, t.store.clone(), t.ids.clone(), t.sealer.clone(), t.tasks.clone())
    }

    /// A process: those before it are gone.
    fn skills_over(&self, files: Arc<dyn ObjectStore>) -> Skills {
        let (t, objects) = (&self.t, self.objects(files));
        let key = SealKey::from_base64(&SealKey::generate_base64()).unwrap();
        Skills::new(t.store.clone(), t.ids.clone(), t.sealer.clone(), objects, self.scanner.clone(), key)
    }

    fn skills(&self) -> Skills {
        self.skills_over(self.files.clone())
    }

    async fn upload(&self, kind: FileKind, content: &[u8]) -> (String, String) {
        let objects = self.objects(self.files.clone());
        let grant = objects.grant(self.actor("GetOssStsToken"), kind).await.unwrap();
        let session = objects.open_token(grant.key_id.as_str(), &grant.token).unwrap();
        let key = format!("{}/file", grant.prefix);
        let mut writing = objects.begin(&session, &key, None, Some(content.len() as u64)).await.unwrap();
        writing.push(content).await.unwrap();
        (key, writing.finish(None).await.unwrap().etag())
    }

    async fn client(&self, slug: &str) -> Client {
        let text = format!(
            "---\nname: {slug}\ndescription: Tells a fish.\nversion: 1.0.0\n---\n# Fish\n\nHerring.\n"
        );
        Client {
            slug: slug.to_owned(),
            package: self.upload(FileKind::Skill, text.as_bytes()).await,
            icon: self.upload(FileKind::Icon, PNG).await,
            task: Arc::default(),
            made: Arc::default(),
        }
    }

    /// The client's calls and the server's work, from where they are to the end; false: something waits for a claim.
    async fn go_on(&self, skills: &Skills, client: &Client) -> bool {
        let known = client.task.lock().unwrap().clone();
        let task = match known {
            Some(task) => task,
            None => {
                let (key, etag) = client.package.clone();
                let task = skills.parse(self.actor("ParseSkillPackage"), key, etag).await.unwrap();
                client.task.lock().unwrap().replace(task.clone());
                task
            }
        };
        while skills.parse_next().await.unwrap() {}
        match skills.progress(&self.account, &task).await.unwrap().status {
            ParseStatus::Completed => {}
            ParseStatus::Parsing => return false,
            ParseStatus::Failed => panic!("{:?}", skills.progress(&self.account, &task).await),
        }
        let new = NewSkill {
            task_key: task,
            channel: None,
            slug: None,
            version: None,
            display_name: None,
            description: None,
            icon: Some(client.icon.clone()),
            env: None,
            api_key: None,
        };
        let made = skills.create(self.actor("CreateTenantSkill"), new).await.unwrap();
        let before = client.made.lock().unwrap().replace(made.clone());
        assert!(before.is_none_or(|before| before == made));
        while skills.scan_next(None).await.unwrap() {}
        let found = self.found(skills, client).await.unwrap();
        found.versions.iter().all(|version| version.scan_status != ScanStatus::Scanning)
    }

    async fn found(&self, skills: &Skills, client: &Client) -> Option<SkillView> {
        let filter = SkillFilter { channel: Channel::Business, ids: Vec::new(), nothing: false };
        let page = PageNumber { number: 1, size: 10_000 };
        let (found, _) = skills.list(&self.account, &filter, page).await.unwrap();
        let mut named = found.into_iter().filter(|view| view.skill.slug == client.slug);
        let first = named.next();
        assert!(named.next().is_none(), "two skills of one name");
        first
    }

    /// Nothing is there by half: a version has its content, and is held until it was scanned.
    async fn check_whole(&self, skills: &Skills, client: &Client) {
        let Some(view) = self.found(skills, client).await else { return };
        assert_eq!(view.versions.len(), 1);
        for version in view.versions {
            let content = self.objects(self.files.clone()).get_skill(&version.content_hash).await.unwrap();
            let files = creel_skills::package::unpack(&content).unwrap();
            assert_eq!(creel_wire::skill_content::content_hash(&files), version.content_hash);
            let scanned = version.scan_status == ScanStatus::Passed;
            assert_eq!(version.publish_status == PublishStatus::Published, scanned);
            assert_eq!(view.skill.current_version.is_some(), scanned);
        }
    }

    /// The end that every beginning comes to.
    async fn check_end(&self, client: &Client) {
        let skills = self.skills();
        self.check_whole(&skills, client).await;
        let view = self.found(&skills, client).await.unwrap();
        assert_eq!(view.skill.current_version.as_deref(), Some("1.0.0"));
        let icon = view.skill.icon.unwrap();
        assert_eq!(self.objects(self.files.clone()).get_icon(&icon).await.unwrap().1, PNG);
    }

    /// A server that dies at some moment of the flow, and the next one; false where the first came to the end.
    async fn dies(&self, first: &Skills, client: &Client, dying: impl AsyncDying) -> bool {
        let died = dying.run(self.go_on(first, client)).await;
        let second = self.skills();
        self.check_whole(&second, client).await;
        if died {
            // Work that was begun is claimed for some more seconds; what a client does again it need not wait for.
            self.t.clock.advance(CLAIM);
            assert!(self.go_on(&second, client).await, "{} is not done", client.slug);
        }
        self.check_end(client).await;
        died
    }

    /// Files of a folder of the objects, those that nothing lists among them.
    fn files_in(&self, folder: &str) -> usize {
        let entries = walkdir::WalkDir::new(self.directory.path().join(FilePath::new(folder)));
        entries.into_iter().filter_map(Result::ok).filter(|entry| entry.file_type().is_file()).count()
    }

    /// A day later, and later than every file of a test.
    async fn collect(&self) {
        self.t.clock.advance(SignedDuration::from_hours(24 * 365 * 60));
        Retention::new(self.t.store.clone(), 30).remove_old().await.unwrap();
        self.skills().collect().await.unwrap();
    }
}

/// How a process dies: the future is dropped. True if it did not come to its end.
trait AsyncDying {
    async fn run(self, flow: impl Future<Output = bool>) -> bool;
}

/// When it has been woken so many times.
struct AfterPolls(usize);

impl AsyncDying for AfterPolls {
    async fn run(self, flow: impl Future<Output = bool>) -> bool {
        let mut flow = std::pin::pin!(flow);
        let mut left = self.0;
        let ended = std::future::poll_fn(|cx| {
            if left == 0 {
                return Poll::Ready(None);
            }
            left -= 1;
            flow.as_mut().poll(cx).map(Some)
        });
        ended.await.is_none()
    }
}

/// When the objects' storage is at a certain step, which it does not come back from.
struct AtStop(Arc<Stops>);

impl AsyncDying for AtStop {
    async fn run(self, flow: impl Future<Output = bool>) -> bool {
        tokio::select! { _ = flow => false, () = self.0.stopped() => true }
    }
}

both_databases! {
    async fn a_death_between_any_two_steps_of_the_storage_leaves_nothing_by_half(t) {
        let place = Place::new(t).await;
        let mut clients = 0;
        for stop in [Stop::Before, Stop::After] {
            for step in 0.. {
                let client = place.client(&format!("step-{clients}")).await;
                clients += 1;
                let stops = Stops::new(place.files.clone(), stop, step);
                let first = place.skills_over(stops.clone());
                if !place.dies(&first, &client, AtStop(stops)).await {
                    // Read the package and put its content, read and put the icon, read the content to scan it.
                    assert!(step >= 8, "only {step} steps");
                    break;
                }
            }
        }
        place.collect().await;
        assert_eq!(place.files_in("skills"), clients);
        assert_eq!((place.files_in("uploads"), place.files_in("icons")), (0, 1));
    }

    async fn a_death_at_any_moment_leaves_nothing_by_half(t) {
        let place = Place::new(t).await;
        let mut clients = 0;
        for polls in 1.. {
            let client = place.client(&format!("moment-{clients}")).await;
            clients += 1;
            if !place.dies(&place.skills(), &client, AfterPolls(polls)).await {
                // Wake-ups that come together are one: some twenty, and more than the storage alone has steps.
                assert!(polls > 8, "only {polls} moments");
                break;
            }
        }
        place.collect().await;
        assert_eq!(place.files_in("skills"), clients);
        assert_eq!((place.files_in("uploads"), place.files_in("icons")), (0, 1));
    }

    async fn a_client_that_never_comes_back_leaves_nothing_for_long(t) {
        let place = Place::new(t).await;
        for step in 0..8 {
            let client = place.client(&format!("gone-{step}")).await;
            let stops = Stops::new(place.files.clone(), Stop::After, step);
            let first = place.skills_over(stops.clone());
            assert!(AtStop(stops).run(place.go_on(&first, &client)).await);
            place.t.clock.advance(CLAIM);
            while place.skills().parse_next().await.unwrap() {}
        }
        place.collect().await;
        let left = place.found(&place.skills(), &place.client("none").await).await;
        assert!(left.is_none());
        place.collect().await;
        let all: Vec<usize> = ["uploads", "parts", "icons"].iter().map(|it| place.files_in(it)).collect();
        // A skill that was made before its server died names its icon.
        assert_eq!((all[0], all[1]), (0, 0));
        assert_eq!(place.files_in("skills"), versions(&place).await);
    }

    async fn a_claim_is_short_and_kept_while_its_process_lives(t) {
        let place = Place::new(t).await;
        let client = place.client("slow").await;
        // The storage stands still where the package is to be read.
        let stops = Stops::new(place.files.clone(), Stop::Before, 0);
        let (first, second) = (place.skills_over(stops.clone()), place.skills());
        let works = async {
            tokio::join!(place.go_on(&first, &client), async {
                stops.stopped().await;
                for _ in 0..4 {
                    tokio::time::sleep(Duration::from_millis(3_200)).await;
                    place.t.clock.advance(SignedDuration::from_secs(4));
                    assert!(!second.parse_next().await.unwrap(), "the first is still at it");
                }
            })
        };
        let dropped = tokio::time::timeout(Duration::from_millis(13_500), works).await;
        assert!(dropped.is_err(), "the storage stands still");
        place.t.clock.advance(SignedDuration::from_secs(5));
        assert!(!second.parse_next().await.unwrap(), "it may still be at it");
        place.t.clock.advance(SignedDuration::from_secs(6));
        assert!(second.parse_next().await.unwrap());
        assert!(place.go_on(&second, &client).await);
    }

    async fn a_fault_of_the_storage_is_no_attempt_and_what_kills_the_server_is(t) {
        let place = Place::new(t).await;
        let client = place.client("unlucky").await;
        let broken = Stops::new(place.files.clone(), Stop::Fail, 0);
        let faulty = place.skills_over(broken);
        let (key, etag) = client.package.clone();
        let task = faulty.parse(place.actor("ParseSkillPackage"), key, etag).await.unwrap();
        client.task.lock().unwrap().replace(task.clone());
        for _ in 0..8 {
            faulty.parse_next().await.unwrap_err();
            assert!(!faulty.parse_next().await.unwrap(), "it waits a little");
            place.t.clock.advance(SignedDuration::from_secs(6));
        }
        assert!(place.go_on(&place.skills(), &client).await);
        place.check_end(&client).await;

        let deadly = place.client("deadly").await;
        for _ in 0..4 {
            let stops = Stops::new(place.files.clone(), Stop::Before, 0);
            let dies = place.skills_over(stops.clone());
            let known = deadly.task.lock().unwrap().clone();
            if known.is_none() {
                let (key, etag) = deadly.package.clone();
                let task = dies.parse(place.actor("ParseSkillPackage"), key, etag).await.unwrap();
                deadly.task.lock().unwrap().replace(task);
            }
            let work = async { dies.parse_next().await.unwrap() };
            AtStop(stops).run(work).await;
            place.t.clock.advance(CLAIM);
        }
        let task = deadly.task.lock().unwrap().clone().unwrap();
        let progress = place.skills().progress(&place.account, &task).await.unwrap();
        assert_eq!((progress.status, progress.error_code.as_str()), (ParseStatus::Failed, "Package.ReadFailed"));
    }
}

async fn versions(place: &Place) -> usize {
    let rows = place.t.store.db().fetch_all("SELECT version FROM skill_version", vec![]).await.unwrap();
    rows.len()
}

//! The guests' side of the agent listener: enrolment and links.
//!
//! `POST /guest/v1/enroll` exchanges a one-use token for an identity; `GET /guest/v1/link` is a WebSocket. A
//! [`GuestLinks`] holds the links of this replica. One task of it, not one per link, looks at the database when
//! something changed (or each second, for other replicas' changes) and nudges only the links that it concerns.

mod fetches;
mod link;
mod skills;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, State, WebSocketUpgrade};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use creel_control::guest::{GuestError, Guests, WishMark};
use creel_control::message::Messages;
use creel_control::model::Models;
use creel_control::skill::Skills;
use creel_control::store::{Store, Topic};
use creel_control::tasks::Tasks;
use creel_wire::guest::{EnrollRequest, EnrollResponse, FRAME_BYTES_MAX, PROTOCOL_VERSION};
use creel_wire::id::RuntimeId;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use fetches::Fetches;

/// Body of an enrolment at the most, in bytes.
const ENROLL_BYTES_MAX: usize = 16 * 1024;
/// How often other replicas' changes are looked for, and this replica's lease is extended.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Guests whose desired state is worked out at the same time: an account's change concerns all of its guests at once, and
/// whoever asks for something meanwhile needs the database, too.
const WISHES_MAX: usize = 16;
/// Write buffer of a link, in bytes: small, for there are thousands.
const WRITE_BUFFER_BYTES: usize = 4 * 1024;

/// The links that this replica holds. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct GuestLinks {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    guests: Guests,
    messages: Messages,
    models: Models,
    skills: Skills,
    replica_id: String,
    tasks: Tasks,
    cancel: CancellationToken,
    wishes: Semaphore,
    fetches: Fetches,
    nudges: Mutex<HashMap<RuntimeId, Nudge>>,
}

/// The way to one link's task.
#[derive(Debug)]
struct Nudge {
    epoch: i64,
    mark: watch::Sender<Option<WishMark>>,
}

impl GuestLinks {
    /// Starts the task that looks for changes.
    pub(crate) fn start(
        store: Store,
        guests: Guests,
        messages: Messages,
        models: Models,
        skills: Skills,
        replica_id: String,
        tasks: &Tasks,
    ) -> Self {
        let cancel = tasks.cancelled();
        let inner = Arc::new(Inner {
            store,
            guests,
            messages,
            models,
            skills,
            replica_id,
            tasks: tasks.clone(),
            cancel,
            wishes: Semaphore::new(WISHES_MAX),
            fetches: Fetches::default(),
            nudges: Mutex::default(),
        });
        let this = Self { inner };
        let looker = this.clone();
        tasks.spawn("guest-links", async move {
            tokio::select! { () = looker.look() => {}, () = looker.inner.cancel.cancelled() => {} }
        });
        this
    }

    /// The routes, for the agent listener.
    pub(crate) fn router(&self) -> Router {
        Router::new()
            .route("/guest/v1/enroll", post(enroll).layer(DefaultBodyLimit::max(ENROLL_BYTES_MAX)))
            .route("/guest/v1/link", get(open))
            .route("/guest/v1/skills/{content_hash}", get(skills::fetch))
            .with_state(self.clone())
    }

    async fn look(&self) {
        let mut hints = self.inner.store.topics().subscribe(Topic::Guest);
        let mut tick = tokio::time::interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => self.keep_alive().await,
                changed = hints.changed() => if changed.is_err() { return },
            }
            match self.inner.guests.wish_marks(&self.inner.replica_id).await {
                Ok(marks) => self.nudge(marks),
                Err(error) => tracing::warn!(error = %error, "looking for changes that guests need failed"),
            }
        }
    }

    async fn keep_alive(&self) {
        if let Err(error) = self.inner.guests.keep_alive(&self.inner.replica_id).await {
            tracing::warn!(error = %error, "extending this replica's lease failed; its guests will show as offline");
        }
        if let Err(error) = self.inner.messages.expire().await {
            tracing::warn!(error = %error, "failing messages whose time is over failed");
        }
    }

    fn nudge(&self, marks: Vec<WishMark>) {
        let nudges = self.inner.nudges.lock().unwrap_or_else(PoisonError::into_inner);
        for mark in marks {
            if let Some(nudge) = nudges.get(&mark.runtime_id) {
                nudge.mark.send_if_modified(|last| {
                    // Waiting messages nudge every time until they are sent: the mark alone would look the same.
                    let changed = last.as_ref() != Some(&mark) || mark.invocations_waiting;
                    *last = Some(mark);
                    changed
                });
            }
        }
    }

    fn register(&self, runtime_id: &RuntimeId, epoch: i64) -> watch::Receiver<Option<WishMark>> {
        let (mark, receiver) = watch::channel(None);
        let mut nudges = self.inner.nudges.lock().unwrap_or_else(PoisonError::into_inner);
        // Replacing drops the older link's sender, which ends that link.
        nudges.insert(runtime_id.clone(), Nudge { epoch, mark });
        receiver
    }

    fn unregister(&self, runtime_id: &RuntimeId, epoch: i64) {
        let mut nudges = self.inner.nudges.lock().unwrap_or_else(PoisonError::into_inner);
        if nudges.get(runtime_id).is_some_and(|nudge| nudge.epoch == epoch) {
            nudges.remove(runtime_id);
        }
    }
}

async fn enroll(State(links): State<GuestLinks>, Json(request): Json<EnrollRequest>) -> Response {
    if request.protocol != PROTOCOL_VERSION {
        let text = format!("this server speaks guest protocol {PROTOCOL_VERSION}");
        return (StatusCode::UPGRADE_REQUIRED, text).into_response();
    }
    if link::verifying_key(&request.public_key).is_none() {
        return (StatusCode::BAD_REQUEST, "public_key is not the base64 of an Ed25519 key").into_response();
    }
    match links.inner.guests.enroll(&request.token, request.public_key).await {
        Ok(enrolled) => {
            Json(EnrollResponse { runtime_id: enrolled.runtime_id, virtual_key: enrolled.virtual_key })
                .into_response()
        }
        Err(GuestError::BadToken | GuestError::RuntimeDeleted) => {
            (StatusCode::FORBIDDEN, "the enrolment token is unknown, used or too old").into_response()
        }
        Err(GuestError::Store(error)) => {
            tracing::warn!(error = %error, "enrolling a guest failed");
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
    }
}

async fn open(State(links): State<GuestLinks>, upgrade: WebSocketUpgrade) -> Response {
    upgrade
        .max_frame_size(FRAME_BYTES_MAX)
        .max_message_size(FRAME_BYTES_MAX)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .read_buffer_size(WRITE_BUFFER_BYTES)
        .on_upgrade(move |socket| async move { link::run(links, socket).await })
}

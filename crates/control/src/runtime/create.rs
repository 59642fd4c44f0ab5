//! Making runtimes: one request, one transaction, all of them or none.

use creel_wire::id::{ResourceGroupId, RuntimeId};
use creel_wire::money::Micros;

use super::host_name::host_name;
use super::{Power, Runtime, RuntimeAttributes, RuntimeError, Runtimes, SandboxStatus};
use crate::access::Actor;
use crate::catalog::{self, Bundle, DesktopType, Image, OsType};
use crate::command::{NewCommand, insert_first_start};
use crate::ledger::grant_monthly;
use crate::store::{StoreError, Tx};
use crate::tag;
use crate::user;

/// Runtimes in one request at the most; the provider's documented limit.
const AMOUNT_MAX: i64 = 300;
/// Characters of a name at the most; the provider's documented limit.
const NAME_CHARS_MAX: usize = 64;

/// How users are given to the runtimes of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AssignMode {
    /// Each runtime is given to all users.
    #[default]
    All,
    /// The runtimes are dealt out, each to one user.
    PerUser,
}

/// Runtimes that are alike.
#[derive(Debug, Clone, Default)]
pub struct RuntimeBatch {
    /// Names image and size at once.
    pub bundle_id: Option<String>,
    pub image_id: Option<String>,
    pub desktop_type: Option<String>,
    pub amount: i64,
    pub name: Option<String>,
    /// A name or a pattern of names; only for Windows.
    pub host_name: Option<String>,
    pub users: Vec<String>,
    pub attributes: RuntimeAttributes,
}

/// Which names end in a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NameSuffix {
    /// Those of a batch of several.
    #[default]
    OfSeveral,
    All,
    None,
}

/// A request for runtimes.
#[derive(Debug, Clone, Default)]
pub struct CreateRuntimes {
    pub region_id: String,
    pub office_site_id: String,
    pub batches: Vec<RuntimeBatch>,
    pub assign_mode: AssignMode,
    pub name_suffix: NameSuffix,
    pub charge_type: String,
    pub tags: Vec<(String, String)>,
    pub resource_group_id: Option<ResourceGroupId>,
    /// Whole credits that each runtime may spend a month from a pack of its own.
    pub monthly_credits: Option<i64>,
    /// What each runtime runs once, one after the other, at its first start.
    pub first_start: Vec<NewCommand>,
}

/// What a batch is made from.
struct Source {
    image: &'static Image,
    desktop_type: &'static DesktopType,
    bundle: Option<&'static Bundle>,
}

/// A runtime to be written, with its users.
struct Planned {
    runtime: Runtime,
    users: Vec<String>,
}

impl Runtimes {
    /// Records the wish for new runtimes and gives their ids. With a ClientToken that was used before for the same
    /// request, gives the ids of then.
    pub async fn create(
        &self,
        actor: Actor,
        request: CreateRuntimes,
    ) -> Result<Vec<RuntimeId>, RuntimeError> {
        let planned = self.plan(&actor, &request)?;
        let now_ms = self.store.clock().now_ms();
        let ids = self.ids.clone();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    if let Some(made) = actor.replayed(tx).await? {
                        return Ok(made);
                    }
                    let made: Vec<RuntimeId> = planned.iter().map(|p| p.runtime.id.clone()).collect();
                    let names: Vec<&str> = made.iter().map(RuntimeId::as_str).collect();
                    actor.audit(tx, &names, now_ms).await?;
                    insert(tx, &planned, &request.tags, now_ms).await?;
                    let runtimes: Vec<&Runtime> = planned.iter().map(|p| &p.runtime).collect();
                    let commands = &request.first_start;
                    insert_first_start(tx, &ids, &actor.account_id, commands, &runtimes, now_ms).await?;
                    if let Some(credits) = request.monthly_credits {
                        let micros = Micros::from_credits(credits).ok_or(RuntimeError::MonthlyCredits)?;
                        for runtime_id in &made {
                            grant_monthly(tx, &ids, &actor.account_id, runtime_id, micros, now_ms).await?;
                        }
                    }
                    actor.remember(tx, &made, now_ms).await?;
                    Ok(made)
                })
            })
            .await
    }

    fn plan(&self, actor: &Actor, request: &CreateRuntimes) -> Result<Vec<Planned>, RuntimeError> {
        if request.monthly_credits.is_some_and(|credits| credits <= 0) {
            return Err(RuntimeError::MonthlyCredits);
        }
        tag::check(&request.tags)?;
        let total: i64 = request.batches.iter().map(|batch| batch.amount).sum();
        if request.batches.iter().any(|batch| batch.amount < 1) || !(1..=AMOUNT_MAX).contains(&total) {
            return Err(RuntimeError::Amount(total));
        }
        let mut planned = Vec::new();
        for batch in &request.batches {
            check_users(batch, request.assign_mode)?;
            check_disks(&batch.attributes)?;
            let source = source(batch)?;
            if batch.host_name.is_some() && source.image.os_type == OsType::Linux {
                return Err(RuntimeError::HostNameOfLinux);
            }
            for index in 0..batch.amount {
                let runtime = self.runtime(actor, request, batch, &source, index)?;
                planned.push(Planned { users: users_of(batch, request.assign_mode, index), runtime });
            }
        }
        Ok(planned)
    }

    fn runtime(
        &self,
        actor: &Actor,
        request: &CreateRuntimes,
        batch: &RuntimeBatch,
        source: &Source,
        index: i64,
    ) -> Result<Runtime, RuntimeError> {
        let id = self.ids.runtime();
        let is_jvs = source.bundle.is_some_and(|bundle| bundle.is_jvs);
        let runs_here = source.image.os_type == OsType::Linux;
        let reason = if runs_here { "" } else { "no host that can run Windows has joined yet" };
        let office_site_id = request
            .office_site_id
            .parse()
            .map_err(|_| RuntimeError::OfficeSiteNotFound(request.office_site_id.clone()))?;
        Ok(Runtime {
            account_id: actor.account_id.clone(),
            region_id: request.region_id.clone(),
            jvs_id: is_jvs.then(|| self.ids.jvs()),
            name: name_of(batch, request.name_suffix, index, &id)?,
            host_name: match &batch.host_name {
                Some(pattern) => host_name(pattern, index)?,
                None => id.as_str().to_owned(),
            },
            office_site_id,
            image_id: source.image.id.to_owned(),
            bundle_id: source.bundle.map(|bundle| bundle.id.to_owned()),
            desktop_type: source.desktop_type.id.to_owned(),
            os_type: source.image.os_type.as_str().to_owned(),
            agent_provider: source.image.agent_provider,
            agent_platform: if is_jvs { "ENTERPRISE_JVS" } else { "ENTERPRISE" }.to_owned(),
            charge_type: request.charge_type.clone(),
            resource_group_id: request.resource_group_id.clone(),
            model_group_id: None,
            attributes: batch.attributes.clone(),
            power: Power::Running,
            boot_generation: 1,
            generation: 1,
            sandbox: SandboxStatus::Pending,
            reason: reason.to_owned(),
            created_at_ms: self.store.clock().now_ms(),
            started_at_ms: None,
            deleted_at_ms: None,
            id,
        })
    }
}

async fn insert(
    tx: &mut Tx,
    planned: &[Planned],
    tags: &[(String, String)],
    now_ms: i64,
) -> Result<(), RuntimeError> {
    let Some(first) = planned.first() else { return Ok(()) };
    let site = &first.runtime;
    if !tx.office_site_exists(&site.account_id, &site.region_id, &site.office_site_id).await? {
        return Err(RuntimeError::OfficeSiteNotFound(site.office_site_id.to_string()));
    }
    if let Some(group_id) = &site.resource_group_id
        && tx.lock_resource_group(&site.account_id, group_id).await?.is_none()
    {
        return Err(RuntimeError::ResourceGroupNotFound(group_id.to_string()));
    }
    let mut named: Vec<String> = planned.iter().flat_map(|p| p.users.iter().cloned()).collect();
    named.sort_unstable();
    named.dedup();
    if let Err(name) = user::lock_named(tx, &site.account_id, &named).await? {
        return Err(RuntimeError::UserNotFound(name));
    }
    let runtimes: Vec<&Runtime> = planned.iter().map(|p| &p.runtime).collect();
    match tx.insert_runtimes(&runtimes).await {
        // Ids are random, so it is the one thing that a caller chooses.
        Err(StoreError::Unique(_)) => return Err(RuntimeError::HostNameTaken),
        inserted => inserted?,
    }
    let users: Vec<(&Runtime, &str)> =
        planned.iter().flat_map(|p| p.users.iter().map(|user| (&p.runtime, user.as_str()))).collect();
    tx.insert_runtime_users(&users).await?;
    tx.insert_runtime_tags(&runtimes, tags).await?;
    for runtime in &runtimes {
        tx.wake(&runtime.id, now_ms).await?;
    }
    Ok(())
}

fn source(batch: &RuntimeBatch) -> Result<Source, RuntimeError> {
    let bundle = match &batch.bundle_id {
        Some(id) => Some(catalog::find_bundle(id).ok_or_else(|| RuntimeError::BundleNotFound(id.clone()))?),
        None => None,
    };
    let image_id =
        batch.image_id.as_deref().or(bundle.map(|b| b.image_id)).ok_or(RuntimeError::NothingToMake)?;
    let image =
        catalog::find_image(image_id).ok_or_else(|| RuntimeError::ImageNotFound(image_id.to_owned()))?;
    let type_id = batch
        .desktop_type
        .as_deref()
        .or(bundle.map(|b| b.desktop_type))
        .ok_or_else(|| RuntimeError::DesktopTypeNotFound(String::new()))?;
    let desktop_type = catalog::find_desktop_type(type_id)
        .ok_or_else(|| RuntimeError::DesktopTypeNotFound(type_id.to_owned()))?;
    Ok(Source { image, desktop_type, bundle })
}

fn check_users(batch: &RuntimeBatch, mode: AssignMode) -> Result<(), RuntimeError> {
    let users = batch.users.len();
    let uneven = i64::try_from(users).map_or(true, |n| n > 0 && batch.amount % n != 0);
    if mode == AssignMode::PerUser && uneven {
        return Err(RuntimeError::AmountNotTimesOfUsers { amount: batch.amount, users });
    }
    Ok(())
}

fn users_of(batch: &RuntimeBatch, mode: AssignMode, index: i64) -> Vec<String> {
    match mode {
        AssignMode::All => {
            let mut users = batch.users.clone();
            users.sort_unstable();
            users.dedup();
            users
        }
        AssignMode::PerUser => {
            let turn = usize::try_from(index).unwrap_or(0) % batch.users.len().max(1);
            batch.users.get(turn).cloned().into_iter().collect()
        }
    }
}

fn check_disks(attributes: &RuntimeAttributes) -> Result<(), RuntimeError> {
    let sizes = [attributes.system_disk.size_gib, attributes.data_disk.size_gib];
    match sizes.into_iter().flatten().find(|size| !(40..=2040).contains(size) || size % 10 != 0) {
        Some(size) => Err(RuntimeError::DiskSize(size)),
        None => Ok(()),
    }
}

/// The given name, numbered from 0001 where it is to be; without a name, the id.
fn name_of(
    batch: &RuntimeBatch,
    suffix: NameSuffix,
    index: i64,
    id: &RuntimeId,
) -> Result<String, RuntimeError> {
    let Some(name) = &batch.name else { return Ok(id.to_string()) };
    let numbered = match suffix {
        NameSuffix::OfSeveral => batch.amount > 1,
        NameSuffix::All => true,
        NameSuffix::None => false,
    };
    let name = if numbered { format!("{name}{:04}", index + 1) } else { name.clone() };
    check_name(&name)?;
    Ok(name)
}

/// Whether a runtime can have this name.
pub(super) fn check_name(name: &str) -> Result<(), RuntimeError> {
    if !(1..=NAME_CHARS_MAX).contains(&name.chars().count()) || name.chars().any(char::is_control) {
        return Err(RuntimeError::Name);
    }
    Ok(())
}

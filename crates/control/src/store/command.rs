//! Rows of commands, and of invocations that are commands in a runtime.

use std::collections::HashMap;

use creel_wire::id::{AccountId, CommandId, InvocationId, RuntimeId};
use sea_query::{Expr, ExprTrait, JoinType, Order, Query, SelectStatement};

use super::{Row, Store, StoreError, Tx, params};
use crate::command::{
    Command, CommandFilter, CommandRun, CommandStatus, NewCommand, NewRun, RunEnd, RunFailure, SILENCE_MS_MAX,
};
use crate::message::InvocationStatus;
use crate::page::Cursor;

fn invocation_status(row: &Row) -> Result<InvocationStatus, StoreError> {
    InvocationStatus::from_word(&row.text("status")?)
        .ok_or_else(|| StoreError::Corrupt { what: "an unknown invocation status".to_owned() })
}

fn command(row: &Row) -> Result<Command, StoreError> {
    let status: Result<CommandStatus, ()> = row.text("status")?.parse();
    Ok(Command {
        id: row.parse("id")?,
        kind: row.text("kind")?,
        content: row.text("content")?,
        end_user_id: row.opt_text("end_user_id")?,
        scenario: row.text("scenario")?,
        status: status.map_err(|()| StoreError::Corrupt { what: "an unknown command status".to_owned() })?,
        runtime_count: row.int("unfinished")? + row.int("succeeded")? + row.int("failed")?,
        succeeded: row.int("succeeded")?,
        created_at_ms: row.int("created_at_ms")?,
        runs: Vec::new(),
    })
}

fn run(row: &Row, with_output: bool) -> Result<CommandRun, StoreError> {
    Ok(CommandRun {
        runtime_id: row.parse("runtime_id")?,
        runtime_name: row.text("name")?,
        jvs_id: row.opt_parse("jvs_id")?,
        status: invocation_status(row)?,
        exit_code: row.opt_int("exit_code")?,
        output: if with_output { row.opt_text("output")? } else { None },
        output_dropped: row.opt_int("output_dropped")?.unwrap_or(0),
        failure: row.opt_text("error_code")?,
        error_message: row.opt_text("error_message")?,
        created_at_ms: row.int("created_at_ms")?,
        sent_at_ms: row.opt_int("sent_at_ms")?,
        finished_at_ms: row.opt_int("finished_at_ms")?,
    })
}

/// Commands of an account, newest first, after a cursor. Public so that a test can look at its plan.
pub fn command_list_statement(
    account_id: &AccountId,
    filter: &CommandFilter,
    after: Option<&Cursor>,
    limit: i64,
) -> SelectStatement {
    let mut select = Query::select();
    select
        .columns(["id", "kind", "content", "end_user_id", "scenario", "status", "unfinished", "succeeded"])
        .columns(["failed", "created_at_ms"])
        .from("command")
        .and_where(Expr::col("account_id").eq(account_id.as_str()))
        .order_by("created_at_ms", Order::Desc)
        .order_by("id", Order::Desc)
        .limit(limit.unsigned_abs());
    let given = [("id", &filter.id), ("end_user_id", &filter.end_user_id), ("kind", &filter.kind)];
    for (column, value) in given {
        if let Some(value) = value {
            select.and_where(Expr::col(column).eq(value.as_str()));
        }
    }
    if let Some(status) = filter.status {
        select.and_where(Expr::col("status").eq(status.as_str()));
    }
    if !filter.runtime_ids.is_empty() {
        let mut runs = Query::select();
        runs.column(("i", "command_id"))
            .from_as("runtime", "r")
            .join_as(
                JoinType::InnerJoin,
                "invocation",
                "i",
                Expr::col(("i", "runtime_id")).equals(("r", "id")),
            )
            .and_where(Expr::col(("r", "account_id")).eq(account_id.as_str()))
            .and_where(super::runtime::named("r", &filter.runtime_ids))
            .and_where(Expr::col(("i", "command_id")).is_not_null());
        select.and_where(Expr::col("id").in_subquery(runs));
    }
    if let Some(cursor) = after {
        select.and_where(
            Expr::tuple([Expr::col("created_at_ms"), Expr::col("id")])
                .lt(Expr::tuple([Expr::val(cursor.key), Expr::val(cursor.id.as_str())])),
        );
    }
    select
}

impl Store {
    /// Commands of an account, newest first, after a cursor.
    pub(crate) async fn list_commands(
        &self,
        account_id: &AccountId,
        filter: &CommandFilter,
        after: Option<&Cursor>,
        limit: i64,
    ) -> Result<Vec<Command>, StoreError> {
        if filter.nothing {
            return Ok(Vec::new());
        }
        let select = command_list_statement(account_id, filter, after, limit);
        self.db().select(&select).await?.iter().map(command).collect()
    }

    /// Gives commands what became of them in each runtime, in the order of the runtimes' ids.
    pub(crate) async fn attach_runs(
        &self,
        commands: &mut [Command],
        with_output: bool,
    ) -> Result<(), StoreError> {
        if commands.is_empty() {
            return Ok(());
        }
        let mut select = Query::select();
        select
            .columns(
                [
                    "command_id",
                    "runtime_id",
                    "status",
                    "exit_code",
                    "output_dropped",
                    "error_code",
                    "error_message",
                    "created_at_ms",
                    "sent_at_ms",
                    "finished_at_ms",
                ]
                .map(|column| ("i", column)),
            )
            .columns([("r", "name"), ("r", "jvs_id")])
            .from_as("invocation", "i")
            .join_as(JoinType::InnerJoin, "runtime", "r", Expr::col(("r", "id")).equals(("i", "runtime_id")))
            .and_where(
                Expr::col(("i", "command_id")).is_in(commands.iter().map(|command| command.id.as_str())),
            )
            .order_by(("i", "command_id"), Order::Asc)
            .order_by(("i", "runtime_id"), Order::Asc)
            .order_by(("i", "id"), Order::Asc);
        if with_output {
            select.column(("i", "output"));
        }
        let mut runs: HashMap<String, Vec<CommandRun>> = HashMap::new();
        for row in self.db().select(&select).await? {
            runs.entry(row.text("command_id")?).or_default().push(run(&row, with_output)?);
        }
        for command in commands {
            command.runs = runs.remove(command.id.as_str()).unwrap_or_default();
        }
        Ok(())
    }
}

impl Tx {
    pub(crate) async fn insert_command(
        &mut self,
        id: &CommandId,
        account_id: &AccountId,
        command: &NewCommand,
        scenario: &str,
        runs: &[NewRun],
        now_ms: i64,
    ) -> Result<(), StoreError> {
        let count = |failed: bool| {
            let counted = runs.iter().filter(|run| run.failure.is_some() == failed).count();
            i64::try_from(counted).unwrap_or(i64::MAX)
        };
        let (unfinished, failed) = (count(false), count(true));
        let status = if unfinished == 0 { CommandStatus::Failed } else { CommandStatus::Pending };
        self.execute(
            "INSERT INTO command (id, account_id, kind, content, timeout_ms, end_user_id, scenario, status,
                 unfinished, succeeded, failed, created_at_ms)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, $10, $11)",
            params![
                id.as_str(),
                account_id.as_str(),
                &command.kind,
                &command.content,
                command.timeout_s * 1000,
                command.end_user_id.clone(),
                scenario,
                status.as_str(),
                unfinished,
                failed,
                now_ms
            ],
        )
        .await?;
        const COLUMNS: [&str; 13] = [
            "id",
            "account_id",
            "runtime_id",
            "session_key",
            "message",
            "status",
            "created_at_ms",
            "deadline_ms",
            "command_id",
            "first_start_step",
            "error_code",
            "error_message",
            "finished_at_ms",
        ];
        let row = |run: &NewRun| {
            let failure = run.failure;
            let status = if failure.is_some() { InvocationStatus::Failed } else { InvocationStatus::Pending };
            params![
                run.id.as_str(),
                account_id.as_str(),
                run.runtime_id.as_str(),
                "",
                "",
                status.as_str(),
                now_ms,
                run.deadline_ms,
                id.as_str(),
                run.first_start_step,
                failure.map(RunFailure::as_str),
                failure.map(RunFailure::text),
                failure.map(|_| now_ms)
            ]
        };
        self.insert_many("invocation", &COLUMNS, runs.iter().map(row).collect()).await
    }

    /// A command is on its way to the guest of one runtime, and has its time from now on.
    pub(crate) async fn set_run_sent(&mut self, id: &InvocationId, now_ms: i64) -> Result<(), StoreError> {
        let sent = self
            .fetch_optional(
                "UPDATE invocation SET status = 'Running', sent_at_ms = $2,
                     deadline_ms = $2 + $3 + (SELECT timeout_ms FROM command WHERE command.id = command_id)
                 WHERE id = $1 AND status = 'Pending' AND command_id IS NOT NULL RETURNING command_id",
                params![id.as_str(), now_ms, SILENCE_MS_MAX],
            )
            .await?;
        if let Some(row) = sent {
            self.execute(
                "UPDATE command SET status = 'Running' WHERE id = $1 AND status = 'Pending'",
                params![row.text("command_id")?],
            )
            .await?;
        }
        Ok(())
    }

    /// Ends a command in this runtime once; a second end changes nothing. Gives whether it was one of a first start.
    pub(crate) async fn finish_run(
        &mut self,
        id: &InvocationId,
        runtime_id: &RuntimeId,
        end: &RunEnd,
        now_ms: i64,
    ) -> Result<bool, StoreError> {
        let row = self
            .fetch_optional(
                "UPDATE invocation SET status = $3, exit_code = $4, output = $5, output_dropped = $6,
                     error_code = $7, error_message = $8, finished_at_ms = $9
                 WHERE id = $1 AND runtime_id = $2 AND command_id IS NOT NULL
                   AND status IN ('Pending', 'Running')
                 RETURNING command_id, first_start_step",
                params![
                    id.as_str(),
                    runtime_id.as_str(),
                    end.status().as_str(),
                    end.exit_code,
                    end.output.clone(),
                    end.dropped,
                    end.failure.map(RunFailure::as_str),
                    end.message.clone(),
                    now_ms
                ],
            )
            .await?;
        let Some(row) = row else { return Ok(false) };
        let failed = i64::from(end.failure.is_some());
        self.execute(
            "UPDATE command SET unfinished = unfinished - 1, succeeded = succeeded + $2, failed = failed + $3,
                 status = CASE WHEN unfinished > 1 THEN 'Running'
                               WHEN failed + $3 = 0 THEN 'Success'
                               WHEN succeeded + $2 = 0 THEN 'Failed'
                               ELSE 'PartialFailed' END
             WHERE id = $1",
            params![row.text("command_id")?, 1 - failed, failed],
        )
        .await?;
        Ok(row.opt_int("first_start_step")?.is_some())
    }

    /// Commands of a runtime that have not ended; without those that wait for its first start unless it is deleted.
    pub(crate) async fn open_runs(
        &mut self,
        runtime_id: &RuntimeId,
        deleted: bool,
    ) -> Result<Vec<(InvocationId, InvocationStatus)>, StoreError> {
        let rows = self
            .fetch_all(
                "SELECT id, status FROM invocation
                 WHERE runtime_id = $1 AND command_id IS NOT NULL AND status IN ('Pending', 'Running')
                   AND ($2 = 1 OR status = 'Running' OR first_start_step IS NULL)
                 ORDER BY created_at_ms, id LIMIT 10000",
                params![runtime_id.as_str(), i64::from(deleted)],
            )
            .await?;
        rows.iter().map(|row| Ok((row.parse("id")?, invocation_status(row)?))).collect()
    }

    /// Commands whose time is over.
    pub(crate) async fn due_runs(
        &mut self,
        now_ms: i64,
        limit: i64,
    ) -> Result<Vec<(InvocationId, RuntimeId, InvocationStatus)>, StoreError> {
        let rows = self
            .fetch_all(
                "SELECT id, runtime_id, status FROM invocation
                 WHERE status IN ('Pending', 'Running') AND deadline_ms <= $1 AND command_id IS NOT NULL
                 ORDER BY deadline_ms, id LIMIT $2",
                params![now_ms, limit],
            )
            .await?;
        rows.iter()
            .map(|row| Ok((row.parse("id")?, row.parse("runtime_id")?, invocation_status(row)?)))
            .collect()
    }

    /// Removes messages and runs of commands that ended before a moment, a number of them at the most; gives how many
    /// went.
    pub(crate) async fn delete_invocations(&mut self, before_ms: i64, limit: i64) -> Result<u64, StoreError> {
        self.execute(
            "DELETE FROM invocation WHERE id IN (
                 SELECT id FROM invocation WHERE finished_at_ms < $1 ORDER BY finished_at_ms, id LIMIT $2)",
            params![before_ms, limit],
        )
        .await
    }

    /// Removes commands of before a moment whose runs are gone, a number of them at the most; gives how many went.
    pub(crate) async fn delete_commands(&mut self, before_ms: i64, limit: i64) -> Result<u64, StoreError> {
        self.execute(
            "DELETE FROM command WHERE id IN (
                 SELECT c.id FROM command c WHERE c.created_at_ms < $1 AND c.unfinished = 0
                     AND NOT EXISTS (SELECT 1 FROM invocation i WHERE i.command_id = c.id)
                 ORDER BY c.created_at_ms, c.id LIMIT $2)",
            params![before_ms, limit],
        )
        .await
    }
}

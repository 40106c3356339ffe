use std::{
    fmt, io,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures::StreamExt;
use mesh_core::Cancel;
use sqlx::{AssertSqlSafe, Connection, PgConnection, postgres::PgRow};
use tokio::{runtime::Handle, time::timeout};

use crate::{
    Address, PostgresError, PostgresErrorKind,
    error::{is_lost, is_passing},
};

/// A database, and connections to it. Clones share them.
///
/// Its methods wait for the network: they are called from threads of one's own, never from an
/// asynchronous task.
#[derive(Clone)]
pub struct Database(Arc<Inner>);

struct Inner {
    address: Address,
    /// Connections that nobody uses now.
    idle: Mutex<Vec<PgConnection>>,
    runtime: Handle,
    cancel: Cancel,
}

/// How long it is tried again, and when next.
#[derive(Debug, Clone)]
pub struct Patience {
    since: Option<Instant>,
    most: Duration,
    pause: Duration,
}

/// Why rows are not taken any further.
#[derive(Debug)]
pub enum Halt<E> {
    /// The server failed.
    Server(sqlx::Error),
    /// Whoever took them did.
    Taker(E),
}

/// How long is waited for a server that went away: a restart takes seconds.
const AWAY: Duration = Duration::from_secs(60);
/// How long is waited for one that was not there to begin with.
const ABSENT: Duration = Duration::from_secs(3);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How long a connection may take, and the next row of many.
const CONNECT: Duration = Duration::from_secs(10);
const NEXT_ROW: Duration = Duration::from_secs(120);

impl Database {
    /// Connects to a server. Whoever raises `cancel` is not made to wait for one that went away.
    ///
    /// # Errors
    /// When none answers, it does not let the user in, or has no such database.
    pub fn connect(
        address: &Address,
        runtime: Handle,
        cancel: Cancel,
    ) -> Result<Self, PostgresError> {
        let inner = Inner { address: address.clone(), idle: Mutex::default(), runtime, cancel };
        let database = Self(Arc::new(inner));
        let mut patience = Patience::of(ABSENT);
        loop {
            match database.taken() {
                Ok(connection) => {
                    database.give(connection);
                    return Ok(database);
                }
                Err(error) => database.wait(&mut patience, "connect", error)?,
            }
        }
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.0.address
    }

    /// Its name and its server, for people.
    #[must_use]
    pub fn told(&self) -> String {
        format!("{} at {}", self.0.address.database(), self.0.address.server())
    }

    /// Does something on a connection, again from its beginning if that was lost or others were in
    /// the way; `what` completes "the server did not ...".
    ///
    /// # Errors
    /// When the server refuses, or there is no patience left.
    pub fn run<T>(
        &self,
        what: &str,
        mut work: impl AsyncFnMut(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, PostgresError> {
        let mut patience = Patience::default();
        loop {
            let done = self.taken().and_then(|mut connection| {
                let done = self.0.runtime.block_on(work(&mut connection))?;
                // One that failed may be in the middle of something: it is not used again.
                self.give(connection);
                Ok(done)
            });
            match done {
                Ok(done) => return Ok(done),
                Err(error) => self.wait(&mut patience, what, error)?,
            }
        }
    }

    /// Does something on a connection once, step by step: what it needs in between may wait too.
    ///
    /// # Errors
    /// When a connection cannot be had, or `work` fails; then the server undoes what it began.
    pub fn once<T, E>(
        &self,
        work: impl FnOnce(&mut PgConnection, &Handle) -> Result<T, Halt<E>>,
    ) -> Result<T, Halt<E>> {
        let mut connection = self.taken().map_err(Halt::Server)?;
        let done = work(&mut connection, &self.0.runtime)?;
        self.give(connection);
        Ok(done)
    }

    /// Gives the rows of one statement to `take` as they come, once; its parameters are texts.
    ///
    /// # Errors
    /// When the server or `take` fails.
    pub fn each<E>(
        &self,
        statement: &str,
        values: &[&str],
        take: &mut dyn FnMut(&PgRow) -> Result<(), E>,
    ) -> Result<(), Halt<E>> {
        let mut connection = self.taken().map_err(Halt::Server)?;
        let query = sqlx::query(AssertSqlSafe(statement.to_owned())).persistent(false);
        let query = values.iter().fold(query, |query, value| query.bind(*value));
        let mut rows = query.fetch(&mut connection);
        // `take` may wait for something itself, which it may not inside of a task.
        while let Some(row) = self
            .0
            .runtime
            .block_on(async { timeout(NEXT_ROW, rows.next()).await })
            .map_err(|_| Halt::Server(sqlx::Error::Io(io::ErrorKind::TimedOut.into())))?
        {
            take(&row.map_err(Halt::Server)?).map_err(Halt::Taker)?;
        }
        drop(rows);
        self.give(connection);
        Ok(())
    }

    /// Waits a while after a failure that may pass.
    ///
    /// # Errors
    /// When it does not pass, or there is no patience left.
    pub fn wait(
        &self,
        patience: &mut Patience,
        what: &str,
        error: sqlx::Error,
    ) -> Result<(), PostgresError> {
        if is_lost(&error) {
            // The others are as old.
            self.0.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
        let Some(pause) = is_passing(&error).then(|| patience.next()).flatten() else {
            return Err(PostgresError::of(&self.0.address, what, error));
        };
        if pause == FIRST_PAUSE && is_lost(&error) {
            tracing::warn!(%error, "the database at {} is waited for", self.0.address.server());
        }
        std::thread::sleep(pause);
        let interrupted = |_| PostgresError::new(PostgresErrorKind::Interrupted);
        self.0.cancel.check().map_err(interrupted)
    }

    fn taken(&self) -> Result<PgConnection, sqlx::Error> {
        let idle = self.0.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(idle) = idle {
            return Ok(idle);
        }
        self.0.runtime.block_on(async {
            let connecting = PgConnection::connect_with(&self.0.address.options);
            let connected = timeout(CONNECT, connecting).await;
            let mut connection =
                connected.map_err(|_| sqlx::Error::Io(io::ErrorKind::TimedOut.into()))??;
            // That something was there already is no news.
            sqlx::raw_sql("SET client_min_messages TO warning").execute(&mut connection).await?;
            Ok(connection)
        })
    }

    fn give(&self, connection: PgConnection) {
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
    }
}

impl<E> From<sqlx::Error> for Halt<E> {
    fn from(error: sqlx::Error) -> Self {
        Self::Server(error)
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("address", &self.0.address).finish_non_exhaustive()
    }
}

impl Patience {
    fn of(most: Duration) -> Self {
        Self { since: None, most, pause: FIRST_PAUSE }
    }

    /// Something was done: the next failure is another one.
    pub fn restore(&mut self) {
        *self = Self::of(self.most);
    }

    /// How long to wait now; nothing if it was long enough.
    fn next(&mut self) -> Option<Duration> {
        let since = *self.since.get_or_insert_with(Instant::now);
        let pause = self.pause;
        self.pause = (2 * pause).min(LONGEST_PAUSE);
        (since.elapsed() < self.most).then_some(pause)
    }
}

impl Default for Patience {
    fn default() -> Self {
        Self::of(AWAY)
    }
}

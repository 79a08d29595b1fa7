//! A client that writes all the time and remembers what was acknowledged.
//!
//! It behaves as applications are told to: one session, short timeouts, and after an error a new session in which the
//! same number is written again, which does no harm where the first attempt had succeeded after all. So every number
//! below the current one was acknowledged, and must be in the table for ever.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

/// Between two writes.
const PAUSE: Duration = Duration::from_millis(20);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(3);
/// A time without writes that is worth to be told of.
const OUTAGE: Duration = Duration::from_millis(500);
/// Reading everything back is not hurried.
const READ_TIMEOUT: Duration = Duration::from_mins(1);

/// Address and user of the writes.
#[derive(Clone)]
pub struct Gateway {
    pub port: u16,
    pub database: String,
    pub password: String,
}

/// A client that writes until it is dropped.
pub struct Journal {
    gateway: Gateway,
    ledger: Arc<Mutex<Ledger>>,
    writer: JoinHandle<()>,
}

struct Ledger {
    /// Number of numbers were acknowledged, which is also the first that was not.
    acknowledged: i64,
    last: Option<Instant>,
    outages: Vec<Gap>,
    /// When the primary itself took a write in such a time.
    direct: Vec<Instant>,
    mark: Mark,
}

/// Since when a [`Record`] is about.
struct Mark {
    since: Instant,
    acknowledged: i64,
    longest: Gap,
    failures: BTreeMap<String, usize>,
}

/// A time without an acknowledged write.
#[derive(Clone, Copy, Debug)]
pub struct Gap {
    pub from: Instant,
    pub length: Duration,
}

impl Gap {
    fn is_outage(&self) -> bool {
        self.length >= OUTAGE
    }

    pub fn end(&self) -> Instant {
        self.from + self.length
    }
}

/// Result of the writes since the last mark.
#[derive(Debug)]
pub struct Record {
    pub writes: i64,
    pub longest: Gap,
    /// Errors of failed attempts, with their number.
    pub failures: BTreeMap<String, usize>,
}

impl Journal {
    pub fn start(gateway: Gateway) -> Self {
        let ledger = Ledger {
            acknowledged: 0,
            last: None,
            outages: Vec::new(),
            direct: Vec::new(),
            mark: Mark::new(0),
        };
        let ledger = Arc::new(Mutex::new(ledger));
        let writer = tokio::spawn(write(gateway.clone(), Arc::clone(&ledger)));
        Self { gateway, ledger, writer }
    }

    /// From here on a new record is kept.
    pub fn mark(&self) {
        let mut ledger = lock(&self.ledger);
        ledger.mark = Mark::new(ledger.acknowledged);
    }

    pub fn record(&self) -> Record {
        let mut ledger = lock(&self.ledger);
        ledger.end_gap(Instant::now());
        let mark = &ledger.mark;
        Record {
            writes: ledger.acknowledged - mark.acknowledged,
            longest: mark.longest,
            failures: mark.failures.clone(),
        }
    }

    /// Every time without writes so far, from the first write on.
    pub fn outages(&self) -> Vec<Gap> {
        let current = self.outage();
        lock(&self.ledger).outages.iter().copied().chain(current).collect()
    }

    /// The time without writes that has not ended.
    pub fn outage(&self) -> Option<Gap> {
        let last = lock(&self.ledger).last?;
        Some(Gap { from: last, length: last.elapsed() }).filter(Gap::is_outage)
    }

    /// Notes that the primary itself has just taken a write, while gateways serve none.
    pub fn took_directly(&self) {
        lock(&self.ledger).direct.push(Instant::now());
    }

    /// When the primary itself took a write, while gateways served none.
    pub fn direct(&self) -> Vec<Instant> {
        lock(&self.ledger).direct.clone()
    }

    /// Number of writes were acknowledged so far.
    pub fn acknowledged(&self) -> i64 {
        lock(&self.ledger).acknowledged
    }

    /// Reads the table back: what was acknowledged before and is not there.
    pub async fn lost(&self, patience: Duration) -> anyhow::Result<Vec<i64>> {
        let acknowledged = self.acknowledged();
        let read = async {
            loop {
                match self.gateway.read().await {
                    Ok(kept) => return (0..acknowledged).filter(|number| !kept.contains(number)).collect(),
                    Err(_) => sleep(PAUSE).await,
                }
            }
        };
        timeout(patience, read).await.with_context(|| format!("the journal cannot be read in {patience:?}"))
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.writer.abort();
    }
}

impl Mark {
    fn new(acknowledged: i64) -> Self {
        let since = Instant::now();
        let longest = Gap { from: since, length: Duration::ZERO };
        Self { since, acknowledged, longest, failures: BTreeMap::new() }
    }
}

impl Ledger {
    fn acknowledge(&mut self) {
        let now = Instant::now();
        self.end_gap(now);
        let gap = self.last.map(|last| Gap { from: last, length: now - last });
        self.outages.extend(gap.filter(Gap::is_outage));
        self.last = Some(now);
        self.acknowledged += 1;
    }

    /// The time before the mark was somebody else's.
    fn end_gap(&mut self, now: Instant) {
        let from = self.last.map_or(self.mark.since, |last| last.max(self.mark.since));
        let length = now - from;
        if length > self.mark.longest.length {
            self.mark.longest = Gap { from, length };
        }
    }
}

fn lock(ledger: &Mutex<Ledger>) -> MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn write(gateway: Gateway, ledger: Arc<Mutex<Ledger>>) {
    let mut pace = interval(PAUSE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut session = None;
    loop {
        pace.tick().await;
        let number = lock(&ledger).acknowledged;
        match gateway.insert(&mut session, number).await {
            Ok(()) => lock(&ledger).acknowledge(),
            Err(error) => {
                session = None;
                *lock(&ledger).mark.failures.entry(format!("{error:#}")).or_default() += 1;
            }
        }
    }
}

impl Gateway {
    async fn insert(&self, session: &mut Option<Client>, number: i64) -> anyhow::Result<()> {
        let client = match session {
            Some(client) => client,
            None => session.insert(self.connect().await?),
        };
        if number == 0 {
            execute(client, "create table if not exists journal (number bigint primary key)").await?;
        }
        execute(client, &format!("insert into journal values ({number}) on conflict do nothing")).await
    }

    async fn read(&self) -> anyhow::Result<BTreeSet<i64>> {
        let client = self.connect().await?;
        let rows = timeout(READ_TIMEOUT, client.simple_query("select number from journal")).await??;
        let numbers = rows.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0)?.parse().ok(),
            _ => None,
        });
        Ok(numbers.collect())
    }

    async fn connect(&self) -> anyhow::Result<Client> {
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(self.port).user("postgres").dbname(&self.database);
        let connect = config.password(&self.password).connect(NoTls);
        let Ok(connected) = timeout(CONNECT_TIMEOUT, connect).await else {
            bail!("no connection in {CONNECT_TIMEOUT:?}");
        };
        let (client, connection) = connected.map_err(in_words)?;
        // Ends with the client; what it says is said by the client, too.
        tokio::spawn(connection);
        Ok(client)
    }
}

async fn execute(client: &Client, statement: &str) -> anyhow::Result<()> {
    match timeout(STATEMENT_TIMEOUT, client.batch_execute(statement)).await {
        Ok(done) => done.map_err(in_words),
        Err(_) => bail!("no answer in {STATEMENT_TIMEOUT:?}"),
    }
}

/// Text of the server's error, which the library's error leaves out.
fn in_words(error: tokio_postgres::Error) -> anyhow::Error {
    match error.as_db_error() {
        Some(said) => {
            let words: Vec<&str> = said.message().split_whitespace().collect();
            anyhow::anyhow!("{}: {}", said.severity(), words.join(" "))
        }
        None => error.into(),
    }
}

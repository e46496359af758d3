//! The engines behind one small face.

use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use redb::{Durability, ReadableDatabase, TableDefinition};

const CACHE_BYTES: usize = 8 << 20;
const MEMTABLE_BYTES: u64 = 8 << 20;
const TABLES: [TableDefinition<&[u8], &[u8]>; 3] =
    [TableDefinition::new("logs"), TableDefinition::new("index"), TableDefinition::new("views")];

/// A family of rows.
#[derive(Clone, Copy)]
pub enum Space {
    Logs,
    Index,
    Views,
}

/// Where, key, value.
pub type Row = (Space, Vec<u8>, Vec<u8>);

pub trait Engine {
    const NAME: &str;
    fn open(dir: &Path) -> Self;
    /// Writes all rows at once; when `durable`, they survive power loss.
    fn commit(&mut self, rows: Vec<Row>, durable: bool);
    fn get(&mut self, space: Space, key: &[u8]) -> Option<Vec<u8>>;
}

pub struct Fjall {
    database: Database,
    spaces: [Keyspace; 3],
}

impl Engine for Fjall {
    const NAME: &str = "fjall";

    fn open(dir: &Path) -> Self {
        let database = Database::builder(dir)
            .cache_size(CACHE_BYTES as u64)
            .worker_threads(1)
            .open()
            .expect("fjall opens");
        let spaces = ["logs", "index", "views"].map(|name| {
            let options = || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES);
            database.keyspace(name, options).expect("the keyspace opens")
        });
        Self { database, spaces }
    }

    fn commit(&mut self, rows: Vec<Row>, durable: bool) {
        let mode = if durable { PersistMode::SyncData } else { PersistMode::Buffer };
        let mut batch = self.database.batch().durability(Some(mode));
        for (space, key, value) in rows {
            batch.insert(&self.spaces[space as usize], key, value);
        }
        batch.commit().expect("fjall commits");
    }

    fn get(&mut self, space: Space, key: &[u8]) -> Option<Vec<u8>> {
        let value = self.spaces[space as usize].get(key).expect("fjall reads");
        value.map(|value| value.to_vec())
    }
}

pub struct Redb {
    database: redb::Database,
}

impl Engine for Redb {
    const NAME: &str = "redb";

    fn open(dir: &Path) -> Self {
        std::fs::create_dir_all(dir).expect("the directory can be made");
        let database = redb::Builder::new()
            .set_cache_size(CACHE_BYTES)
            .create(dir.join("redb"))
            .expect("redb opens");
        Self { database }
    }

    fn commit(&mut self, rows: Vec<Row>, durable: bool) {
        let mut write = self.database.begin_write().expect("redb begins");
        let durability = if durable { Durability::Immediate } else { Durability::None };
        write.set_durability(durability).expect("redb takes the durability");
        {
            let mut tables = TABLES.map(|table| write.open_table(table).expect("the table opens"));
            for (space, key, value) in rows {
                tables[space as usize].insert(&key[..], &value[..]).expect("redb inserts");
            }
        }
        write.commit().expect("redb commits");
    }

    fn get(&mut self, space: Space, key: &[u8]) -> Option<Vec<u8>> {
        let read = self.database.begin_read().expect("redb begins");
        let table = read.open_table(TABLES[space as usize]).expect("the table opens");
        let value = table.get(key).expect("redb reads");
        value.map(|value| value.value().to_vec())
    }
}

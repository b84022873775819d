//! The flow table: what was learnt of each flow, for a bounded number of flows.
//!
//! Apart from the policies because it knows nothing of protocols: a key finds a state, a new flow gets a new one, and
//! where the table is full the least recently seen flow makes room. Entries lie in one vector and are linked by index,
//! into the chain of their bucket and into the list of recency. Memory for each flow: 56 bytes and the state, together a
//! multiple of 64 (192 for the evidence policy), 8 for its neighbours in the list, 4 to 8 in the buckets. Nothing here
//! depends on anything but the sequence of keys: the hash has no seed, and chains are bounded, so that no chosen keys
//! make it slow.

use core::net::{IpAddr, Ipv6Addr};

use super::dissect::{Datagram, Network, Transport};

/// Set in a key's protocol where the addresses are those of IPv6.
const IPV6: u32 = 1 << 8;

/// Which end of a flow sent a packet: 0 for the end with the smaller address and port, 1 for the other.
pub type Side = usize;

/// What tells flows apart: both ends in order, the protocol, and what the packets are tagged with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    low: u128,
    high: u128,
    tags: u64,
    ports: u32,
    /// The transport protocol, and in bit 8 whether the addresses are those of IPv6.
    protocol: u32,
}

impl Key {
    /// The key of a datagram, and which end sent it.
    #[inline]
    #[must_use]
    pub fn of(frame: &[u8], datagram: &Datagram) -> Option<(Self, Side)> {
        let (source, destination) = datagram.network.addresses(frame)?;
        let version = match datagram.network {
            Network::V4 { .. } => 0,
            Network::V6 { .. } => IPV6,
        };
        let source = (source, datagram.ports.0);
        let destination = (destination, datagram.ports.1);
        let side = usize::from(source > destination);
        let (low, high) = if side == 0 {
            (source, destination)
        } else {
            (destination, source)
        };
        let key = Self {
            low: low.0,
            high: high.0,
            tags: datagram.tags.number(),
            ports: u32::from(low.1) << 16 | u32::from(high.1),
            protocol: u32::from(datagram.transport.number()) | version,
        };
        Some((key, side))
    }

    /// Both ends with their ports, in the order of [`Side`]; ESP has no ports.
    #[must_use]
    #[allow(clippy::cast_possible_truncation)] // the halves are the ports
    pub fn ends(&self) -> [(IpAddr, u16); 2] {
        let address = |bits: u128| match self.protocol & IPV6 {
            0 => Ipv6Addr::from_bits(bits).to_canonical(),
            _ => IpAddr::V6(Ipv6Addr::from_bits(bits)),
        };
        let ports = [(self.ports >> 16) as u16, self.ports as u16];
        [(address(self.low), ports[0]), (address(self.high), ports[1])]
    }

    /// Whether the flow is one of TCP.
    #[must_use]
    pub fn is_tcp(&self) -> bool {
        self.protocol & 0xff == u32::from(Transport::Tcp.number())
    }

    /// Multiplies and folds, word by word, as wyhash does. Every bit of the key reaches every bit of the result.
    #[inline]
    #[allow(clippy::cast_possible_truncation)] // halves of wider integers are taken on purpose
    fn hash(&self) -> u32 {
        /// The fractional part of pi, as good as any odd number without a pattern.
        const MULTIPLIERS: [u64; 2] = [0x2436_a885_08d3_1319, 0x13a0_7034_4a40_9383];
        let mut hash = MULTIPLIERS[0];
        let words = [
            self.low as u64,
            (self.low >> 64) as u64,
            self.high as u64,
            (self.high >> 64) as u64,
            self.tags,
            u64::from(self.ports) << 32 | u64::from(self.protocol),
        ];
        for word in words {
            let product = u128::from(hash ^ word) * u128::from(MULTIPLIERS[1]);
            hash = (product as u64) ^ ((product >> 64) as u64);
        }
        (hash >> 32) as u32
    }
}

/// No entry.
const NONE: u32 = u32::MAX;
/// How many buckets there are at first.
const FIRST_BUCKETS: usize = 64;
/// How many flows may share a bucket. There is one bucket a flow, so that only chosen keys come so far.
const LONGEST_CHAIN: usize = 32;

/// Begins at a cache line, which holds what is looked at of every entry in a chain.
#[derive(Debug)]
#[repr(C, align(64))]
struct Entry<T> {
    key: Key,
    /// The next in the bucket's chain.
    chained: u32,
    state: T,
}

/// The neighbours of an entry in the list of recency. They lie apart from the entries, so close together that changing
/// the list rarely waits for the memory.
#[derive(Debug, Clone, Copy)]
struct Neighbours {
    newer: u32,
    older: u32,
}

/// A state for each flow, for at most so many flows.
#[derive(Debug)]
pub struct Table<T> {
    entries: Vec<Entry<T>>,
    /// For each entry.
    recency: Vec<Neighbours>,
    /// The first entry of each chain; a power of two of them.
    buckets: Vec<u32>,
    newest: u32,
    oldest: u32,
    limit: usize,
}

// The indices are the table's own: each was the index of an entry when it was stored, and entries are never removed,
// only given to another flow; a bucket's index is masked by their number, which is never 0.
#[allow(clippy::indexing_slicing)]
impl<T> Table<T> {
    /// An empty table for at most `limit` flows, and at least one.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            entries: Vec::new(),
            recency: Vec::new(),
            buckets: vec![NONE; FIRST_BUCKETS],
            newest: NONE,
            oldest: NONE,
            limit: limit.clamp(1, NONE as usize),
        }
    }

    /// How many flows it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The state of a flow, which is now the most recently seen one. A flow that is not in the table gets a `new` one,
    /// in the place of the least recently seen flow where the table is full.
    #[inline]
    pub fn flow(&mut self, key: &Key, new: impl FnOnce() -> T) -> &mut T {
        let hash = key.hash();
        let mut found = self.buckets[self.bucket(hash)];
        while found != NONE && self.entries[found as usize].key != *key {
            found = self.entries[found as usize].chained;
        }
        if found == NONE {
            found = self.insert(key, hash, new());
        } else if found != self.newest {
            self.unlist(found);
            self.list(found);
        }
        &mut self.entries[found as usize].state
    }

    /// The state of a flow that is in the table, which becomes no more recent by that.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<&T> {
        let mut found = self.buckets[self.bucket(key.hash())];
        while found != NONE {
            let entry = &self.entries[found as usize];
            if entry.key == *key {
                return Some(&entry.state);
            }
            found = entry.chained;
        }
        None
    }

    fn bucket(&self, hash: u32) -> usize {
        hash as usize & (self.buckets.len() - 1)
    }

    fn insert(&mut self, key: &Key, hash: u32, state: T) -> u32 {
        if self.entries.len() >= self.buckets.len() {
            self.grow();
        }
        let entry = Entry {
            key: *key,
            chained: NONE,
            state,
        };
        let evicted = self.crowded(self.bucket(hash)).or_else(|| {
            let is_full = self.entries.len() >= self.limit;
            is_full.then_some(self.oldest)
        });
        let index = match (evicted, u32::try_from(self.entries.len())) {
            (Some(index), _) => {
                self.unchain(index);
                self.unlist(index);
                self.entries[index as usize] = entry;
                index
            }
            // There are fewer entries than the limit, which is an index.
            (None, index) => {
                self.entries.push(entry);
                self.recency.push(Neighbours {
                    newer: NONE,
                    older: NONE,
                });
                index.unwrap_or(NONE)
            }
        };
        let bucket = self.bucket(hash);
        self.entries[index as usize].chained = self.buckets[bucket];
        self.buckets[bucket] = index;
        self.list(index);
        index
    }

    /// The last entry of a chain that is as long as it may be.
    fn crowded(&self, bucket: usize) -> Option<u32> {
        let mut last = self.buckets[bucket];
        for _ in 1..LONGEST_CHAIN {
            if last == NONE {
                return None;
            }
            last = self.entries[last as usize].chained;
        }
        (last != NONE).then_some(last)
    }

    /// Doubles the buckets.
    fn grow(&mut self) {
        self.buckets = vec![NONE; self.buckets.len() * 2];
        let mask = self.buckets.len() - 1;
        for (index, entry) in (0u32..).zip(&mut self.entries) {
            let bucket = &mut self.buckets[entry.key.hash() as usize & mask];
            entry.chained = *bucket;
            *bucket = index;
        }
    }

    /// Takes an entry out of its bucket's chain.
    fn unchain(&mut self, index: u32) {
        let Entry { key, chained, .. } = &self.entries[index as usize];
        let (bucket, behind) = (self.bucket(key.hash()), *chained);
        let mut at = self.buckets[bucket];
        if at == index {
            self.buckets[bucket] = behind;
            return;
        }
        while at != NONE {
            let entry = &mut self.entries[at as usize];
            if entry.chained == index {
                entry.chained = behind;
                return;
            }
            at = entry.chained;
        }
    }

    /// Takes an entry out of the list of recency.
    #[inline]
    fn unlist(&mut self, index: u32) {
        let Neighbours { newer, older } = self.recency[index as usize];
        match newer {
            NONE => self.newest = older,
            newer => self.recency[newer as usize].older = older,
        }
        match older {
            NONE => self.oldest = newer,
            older => self.recency[older as usize].newer = newer,
        }
    }

    /// Puts an entry at the head of the list of recency.
    #[inline]
    fn list(&mut self, index: u32) {
        let before = self.newest;
        self.recency[index as usize] = Neighbours {
            newer: NONE,
            older: before,
        };
        match before {
            NONE => self.oldest = index,
            before => self.recency[before as usize].newer = index,
        }
        self.newest = index;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn key(number: u32) -> Key {
        Key {
            low: number.into(),
            high: 7,
            tags: 0,
            ports: number,
            protocol: 6,
        }
    }

    #[test]
    fn what_the_module_says_of_memory_is_so() {
        assert_eq!(size_of::<Key>(), 48);
        assert_eq!(size_of::<Entry<[u64; 16]>>(), 192);
        assert_eq!(size_of::<Neighbours>(), 8);
    }

    #[test]
    fn the_ends_of_a_flow_are_told_in_the_version_that_they_had() {
        let mapped = core::net::Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped();
        let mut key = key(443);
        key.low = mapped.to_bits();
        assert_eq!(key.ends()[0], ("192.0.2.1".parse().unwrap(), 0));
        key.protocol |= IPV6;
        assert_eq!(key.ends()[0].0, IpAddr::V6(mapped));
        assert_eq!(key.ends()[1].1, 443);
        assert!(key.is_tcp());
    }

    #[test]
    fn every_bit_of_a_key_reaches_its_hash() {
        let whole = key(1);
        for bit in 0..128 {
            let mut others = [whole; 5];
            others[0].low ^= 1 << bit;
            others[1].high ^= 1 << bit;
            others[2].tags ^= 1 << (bit % 64);
            others[3].ports ^= 1 << (bit % 32);
            others[4].protocol ^= 1 << (bit % 32);
            for other in others {
                assert_ne!(other.hash(), whole.hash(), "{other:?}");
            }
        }
    }

    #[test]
    fn a_table_holds_as_many_flows_as_it_may_and_at_least_one() {
        let mut table = Table::new(10_000);
        for number in 0..10_000 {
            table.flow(&key(number), || number);
        }
        assert_eq!(table.len(), 10_000);
        for number in 0..10_000 {
            assert_eq!(table.get(&key(number)), Some(&number));
        }
        let mut table = Table::new(0);
        table.flow(&key(1), || 1);
        table.flow(&key(2), || 2);
        assert_eq!(
            (table.len(), table.get(&key(1)), table.get(&key(2))),
            (1, None, Some(&2))
        );
    }

    #[test]
    fn a_crowded_bucket_evicts_its_own() {
        let mut table = Table::new(1_000_000);
        let same_bucket: Vec<Key> = (0..1_000_000)
            .map(key)
            .filter(|key| key.hash().trailing_zeros() >= 12)
            .take(LONGEST_CHAIN + 10)
            .collect();
        for (number, key) in same_bucket.iter().enumerate() {
            table.flow(key, || number);
        }
        assert_eq!(table.len(), LONGEST_CHAIN);
        assert_eq!(
            *table.flow(&same_bucket[LONGEST_CHAIN + 9], || 0),
            LONGEST_CHAIN + 9
        );
    }

    proptest! {
        /// Against the plain way: a list of keys, the most recently seen one last.
        #[test]
        fn the_least_recently_seen_flow_makes_room(
            numbers in prop::collection::vec(0..40u32, 0..400), limit in 1..30usize,
        ) {
            let mut table = Table::new(limit);
            let mut plain: Vec<(u32, usize)> = Vec::new();
            for (time, &number) in numbers.iter().enumerate() {
                let known = plain.iter().position(|&(known, _)| known == number);
                let state = known.map_or(time, |at| plain.remove(at).1);
                plain.push((number, state));
                if plain.len() > limit {
                    plain.remove(0);
                }
                prop_assert_eq!(*table.flow(&key(number), || time), state);
                prop_assert_eq!(table.len(), plain.len());
            }
        }
    }
}

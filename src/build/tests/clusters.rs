//! Clusters of any shape, with names that are easily confused.

use multigres_crds::v1alpha1::MultigresCluster;
use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;
use serde_json::{Value, json};

const CELLS: [&str; 3] = ["a", "a-b", "b"];

pub fn any_cluster() -> impl Strategy<Value = MultigresCluster> {
    let names = prop_oneof![Just("c"), Just("c-a"), Just("a-rather-long-name-of-a-cluster-of-forty-")];
    let databases = btree_map(prop_oneof![Just("a"), Just("a_b"), Just("users_db")], database(), 0..3);
    (names, databases).prop_map(|(name, databases)| {
        let databases: Vec<Value> =
            databases.into_iter().map(|(name, spec)| json!({ "name": name, "spec": spec })).collect();
        let cells: Vec<Value> = CELLS.iter().map(|cell| json!({ "name": cell })).collect();
        let cluster = json!({
            "apiVersion": "multigres.com/v1alpha1",
            "kind": "MultigresCluster",
            "metadata": { "name": name.trim_end_matches('-'), "namespace": "n" },
            "spec": {
                "globalTopoServer": { "rootPath": "/r" },
                "cells": { "templates": cells },
                "databases": { "templates": databases },
            },
        });
        serde_json::from_value(cluster).unwrap()
    })
}

fn database() -> impl Strategy<Value = Value> {
    prop_oneof![short_form(), full_form()]
}

fn short_form() -> impl Strategy<Value = Value> {
    let member = || proptest::option::of((0..4).prop_map(|replicas| json!({ "replicas": replicas })));
    btree_map(proptest::sample::select(&CELLS[..]), (member(), member()), 1..3).prop_map(|entries| {
        let entries = entries.into_iter().map(|(cell, (primary, replica))| {
            let mut entry = json!({ "cell": cell });
            for (role, member) in [("primary", primary), ("replica", replica)] {
                if let Some(member) = member {
                    entry[role] = member;
                }
            }
            entry
        });
        json!({ "pools": entries.collect::<Vec<_>>() })
    })
}

fn full_form() -> impl Strategy<Value = Value> {
    let types = proptest::sample::select(&["replica", "readOnly"][..]);
    let pools = btree_set((proptest::sample::select(&CELLS[..]), types), 1..4);
    let pools = pools.prop_flat_map(|pools| {
        let count = pools.len();
        (Just(pools), vec(0..4, count))
    });
    let pools = pools.prop_map(|(pools, replicas)| {
        let pools = pools.into_iter().zip(replicas);
        pools
            .map(|((cell, type_), replicas)| json!({ "cell": cell, "type": type_, "replicas": replicas }))
            .collect::<Vec<_>>()
    });
    let names = prop_oneof![Just("default"), Just("a"), Just("b_a")];
    btree_map(names, (1..4, pools), 1..3).prop_map(|groups| {
        let groups = groups.into_iter().map(|(name, (shards, pools))| {
            json!({
                "name": name,
                "partitioning": { "shards": shards },
                "shardTemplate": { "pools": pools },
            })
        });
        json!({ "tableGroups": groups.collect::<Vec<_>>() })
    })
}

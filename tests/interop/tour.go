// Walks through etcd's Go client on an empty store, authentication included, and prints what it sees line by line: the
// interop tests compare the lines of two servers. Ids are left out.
package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"go.etcd.io/etcd/api/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	client := connect(os.Args[1], "", "")
	defer client.Close()
	keys(ctx, client)
	leases(ctx, client)
	locks(ctx, client)
	elections(ctx, client)
	memory(ctx, client)
	upkeep(ctx, client)
	users(ctx, client)
}

func connect(endpoint, user, password string) *clientv3.Client {
	client, err := clientv3.New(clientv3.Config{
		Endpoints:   []string{endpoint},
		DialTimeout: 5 * time.Second,
		Username:    user,
		Password:    password,
	})
	must(err)
	return client
}

func keys(ctx context.Context, client *clientv3.Client) {
	watching, stop := context.WithCancel(ctx)
	defer stop()
	events := client.Watch(watching, "k/", clientv3.WithPrefix(), clientv3.WithPrevKV(), clientv3.WithCreatedNotify())
	say("watching", (<-events).Created)
	for _, value := range []string{"1", "2"} {
		put, err := client.Put(ctx, "k/a", value, clientv3.WithPrevKV())
		must(err)
		say("put", put.Header.Revision, pairs(put.PrevKv))
	}
	_, err := client.Put(ctx, "k/b", "3")
	must(err)
	for _, options := range [][]clientv3.OpOption{
		{clientv3.WithPrefix(), clientv3.WithSort(clientv3.SortByModRevision, clientv3.SortDescend)},
		{clientv3.WithPrefix(), clientv3.WithLimit(1)},
		{clientv3.WithRev(2), clientv3.WithPrefix()},
		{clientv3.WithPrefix(), clientv3.WithCountOnly()},
		{clientv3.WithFromKey(), clientv3.WithKeysOnly(), clientv3.WithSerializable()},
	} {
		got, err := client.Get(ctx, "k/", options...)
		must(err)
		say("get", got.Count, got.More, pairs(got.Kvs...))
	}
	txn, err := client.Txn(ctx).
		If(clientv3.Compare(clientv3.Value("k/a"), "=", "2"), clientv3.Compare(clientv3.Version("k/"), ">", 0).WithPrefix()).
		Then(clientv3.OpPut("k/c", "4"), clientv3.OpTxn(nil, []clientv3.Op{clientv3.OpGet("k/c")}, nil)).
		Else(clientv3.OpDelete("k/a")).
		Commit()
	must(err)
	say("txn", txn.Succeeded, txn.Header.Revision, len(txn.Responses))
	deleted, err := client.Delete(ctx, "k/a", clientv3.WithPrevKV())
	must(err)
	say("delete", deleted.Deleted, pairs(deleted.PrevKvs...))
	for seen := 0; seen < 5; {
		for _, event := range (<-events).Events {
			say("event", event.Type, pairs(event.Kv), "before:", pairs(event.PrevKv))
			seen++
		}
	}
	_, err = client.Compact(ctx, 3)
	must(err)
	_, err = client.Get(ctx, "k/a", clientv3.WithRev(2))
	say("compacted", err)
	old := <-client.Watch(watching, "k/a", clientv3.WithRev(2))
	say("compacted watch", old.CompactRevision, old.Err())
}

func leases(ctx context.Context, client *clientv3.Client) {
	granted, err := client.Grant(ctx, 60)
	must(err)
	_, err = client.Put(ctx, "leased", "x", clientv3.WithLease(granted.ID))
	must(err)
	alive, err := client.KeepAliveOnce(ctx, granted.ID)
	must(err)
	left, err := client.TimeToLive(ctx, granted.ID, clientv3.WithAttachedKeys())
	must(err)
	say("lease", granted.TTL, alive.TTL, left.GrantedTTL, string(left.Keys[0]))
	_, err = client.Revoke(ctx, granted.ID)
	must(err)
	got, err := client.Get(ctx, "leased")
	must(err)
	_, err = client.Revoke(ctx, granted.ID)
	say("revoked", got.Count, err)
}

func locks(ctx context.Context, client *clientv3.Client) {
	first, second := session(client), session(client)
	one, other := concurrency.NewMutex(first, "lock"), concurrency.NewMutex(second, "lock")
	must(one.Lock(ctx))
	say("locked", other.TryLock(ctx))
	waiting := make(chan error)
	go func() { waiting <- other.Lock(ctx) }()
	must(one.Unlock(ctx))
	say("lock waited for", <-waiting)
	must(other.Unlock(ctx))
	must(first.Close())
	must(second.Close())
}

func elections(ctx context.Context, client *clientv3.Client) {
	first, second := session(client), session(client)
	one, other := concurrency.NewElection(first, "election"), concurrency.NewElection(second, "election")
	_, err := one.Leader(ctx)
	say("no leader", err)
	must(one.Campaign(ctx, "one"))
	observing, stop := context.WithCancel(ctx)
	seen := one.Observe(observing)
	say("leader", string((<-seen).Kvs[0].Value))
	must(one.Proclaim(ctx, "one again"))
	say("leader", string((<-seen).Kvs[0].Value))
	won := make(chan error)
	go func() { won <- other.Campaign(ctx, "other") }()
	must(one.Resign(ctx))
	say("succession", <-won, string((<-seen).Kvs[0].Value))
	say("proclaim of who resigned", one.Proclaim(ctx, "x"))
	stop()
	must(other.Resign(ctx))
	must(first.Close())
	must(second.Close())
}

func memory(ctx context.Context, client *clientv3.Client) {
	const workers = 4
	done := make(chan error)
	for range workers {
		go func() {
			_, err := concurrency.NewSTM(client, func(stm concurrency.STM) error {
				stm.Put("count", stm.Get("count")+"+")
				return nil
			})
			done <- err
		}()
	}
	for range workers {
		must(<-done)
	}
	got, err := client.Get(ctx, "count")
	must(err)
	say("stm", string(got.Kvs[0].Value))
}

func upkeep(ctx context.Context, client *clientv3.Client) {
	members, err := client.MemberList(ctx)
	must(err)
	status, err := client.Status(ctx, client.Endpoints()[0])
	must(err)
	say("members", len(members.Members), status.Leader == members.Members[0].ID, status.Errors)
	_, err = client.MoveLeader(ctx, 404)
	say("move leader", err)
	alarms, err := client.AlarmList(ctx)
	must(err)
	say("alarms", len(alarms.Alarms))
}

func users(ctx context.Context, client *clientv3.Client) {
	for _, name := range []string{"root", "ann"} {
		_, err := client.UserAdd(ctx, name, "pw")
		must(err)
		_, err = client.RoleAdd(ctx, name)
		must(err)
		_, err = client.UserGrantRole(ctx, name, name)
		must(err)
	}
	_, err := client.RoleGrantPermission(ctx, "ann", "ann/", "ann0", clientv3.PermissionType(clientv3.PermReadWrite))
	must(err)
	_, err = client.AuthEnable(ctx)
	must(err)
	_, err = client.Get(ctx, "ann/a")
	say("nobody", err)
	_, err = clientv3.New(clientv3.Config{Endpoints: client.Endpoints(), Username: "ann", Password: "wrong"})
	say("wrong password", err)
	ann := connect(client.Endpoints()[0], "ann", "pw")
	defer ann.Close()
	_, err = ann.Put(ctx, "ann/a", "1")
	must(err)
	_, err = ann.Put(ctx, "bob/a", "1")
	say("ann", err)
	refused := <-ann.Watch(ctx, "bob/a")
	say("ann watches", refused.Canceled, refused.Err())
	_, err = ann.UserList(ctx)
	say("ann lists", err)
	root := connect(client.Endpoints()[0], "root", "pw")
	defer root.Close()
	role, err := root.RoleGet(ctx, "ann")
	must(err)
	say("root", len(role.Perm), string(role.Perm[0].Key), string(role.Perm[0].RangeEnd))
	_, err = root.AuthDisable(ctx)
	must(err)
}

func session(client *clientv3.Client) *concurrency.Session {
	session, err := concurrency.NewSession(client, concurrency.WithTTL(30))
	must(err)
	return session
}

func pairs(kvs ...*mvccpb.KeyValue) string {
	texts := make([]string, 0, len(kvs))
	for _, kv := range kvs {
		if kv != nil {
			texts = append(texts, fmt.Sprintf("%s=%s@%d,%d,%d", kv.Key, kv.Value, kv.CreateRevision, kv.ModRevision, kv.Version))
		}
	}
	return strings.Join(texts, " ")
}

func say(what string, seen ...any) {
	fmt.Println(strings.TrimSpace(what + ": " + fmt.Sprintln(seen...)))
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// A candidate, an observer and a holder of mutexes made with etcd's Go client, driven by the interop tests: commands are
// JSON lines on stdin, answers and events JSON lines on stdout.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

type command struct {
	ID      int    `json:"id"`
	Do      string `json:"do"`
	Session string `json:"session"`
	Prefix  string `json:"prefix"`
	Value   string `json:"value"`
	Key     string `json:"key"`
	Rev     int64  `json:"rev,string"`
	Lease   int64  `json:"lease,string"`
	TTL     int    `json:"ttlSeconds"`
	Target  int    `json:"target"`
}

// An event answers a command ("done" or "failed"), or tells of a leader ("leader"), or of the end of a session
// ("session-done", without an id).
type event struct {
	ID      int    `json:"id,omitempty"`
	Event   string `json:"event"`
	Error   string `json:"error,omitempty"`
	Session string `json:"session,omitempty"`
	Key     string `json:"key"`
	Value   string `json:"value"`
	Rev     int64  `json:"rev,string"`
	Lease   int64  `json:"lease,string"`
}

type peer struct {
	client    *clientv3.Client
	mu        sync.Mutex
	out       *json.Encoder
	sessions  map[string]*concurrency.Session
	elections map[string]*concurrency.Election
	mutexes   map[string]*concurrency.Mutex
	cancels   map[int]context.CancelFunc
}

func main() {
	client, err := clientv3.New(clientv3.Config{
		Endpoints:   strings.Split(os.Args[1], ","),
		DialTimeout: 5 * time.Second,
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	p := &peer{
		client:    client,
		out:       json.NewEncoder(os.Stdout),
		sessions:  map[string]*concurrency.Session{},
		elections: map[string]*concurrency.Election{},
		mutexes:   map[string]*concurrency.Mutex{},
		cancels:   map[int]context.CancelFunc{},
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var c command
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			p.tell(event{ID: c.ID, Event: "failed", Error: err.Error()})
			continue
		}
		ctx, cancel := context.WithCancel(context.Background())
		p.mu.Lock()
		p.cancels[c.ID] = cancel
		p.mu.Unlock()
		go func() {
			defer cancel()
			answer, err := p.run(ctx, c)
			answer.ID = c.ID
			answer.Event = "done"
			if err != nil {
				answer.Event, answer.Error = "failed", err.Error()
			}
			p.tell(answer)
		}()
	}
	// The sessions are left as a crash leaves them.
}

func (p *peer) tell(e event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.out.Encode(e); err != nil {
		os.Exit(1)
	}
}

func (p *peer) run(ctx context.Context, c command) (event, error) {
	switch c.Do {
	case "cancel":
		p.mu.Lock()
		defer p.mu.Unlock()
		p.cancels[c.Target]()
		return event{}, nil
	case "session":
		return p.open(c)
	}

	p.mu.Lock()
	session := p.sessions[c.Session]
	p.mu.Unlock()
	if session == nil {
		return event{}, fmt.Errorf("no session %q", c.Session)
	}
	switch c.Do {
	case "close":
		return event{}, session.Close()
	case "orphan":
		session.Orphan()
		return event{}, nil
	case "resume":
		// Unlike NewElection, ResumeElection adds no slash.
		resumed := concurrency.ResumeElection(session, c.Prefix+"/", c.Key, c.Rev)
		p.mu.Lock()
		p.elections[c.Session+" "+c.Prefix] = resumed
		p.mu.Unlock()
		return event{}, nil
	case "lock", "trylock", "unlock":
		return p.lock(ctx, c, p.mutex(session, c))
	default:
		return p.elect(ctx, c, p.election(session, c))
	}
}

func (p *peer) open(c command) (event, error) {
	options := []concurrency.SessionOption{concurrency.WithTTL(c.TTL)}
	if c.Lease != 0 {
		options = append(options, concurrency.WithLease(clientv3.LeaseID(c.Lease)))
	}
	session, err := concurrency.NewSession(p.client, options...)
	if err != nil {
		return event{}, err
	}
	p.mu.Lock()
	p.sessions[c.Session] = session
	p.mu.Unlock()
	go func() {
		<-session.Done()
		p.tell(event{Event: "session-done", Session: c.Session})
	}()
	return event{Lease: int64(session.Lease())}, nil
}

func (p *peer) elect(ctx context.Context, c command, election *concurrency.Election) (event, error) {
	switch c.Do {
	case "campaign":
		if err := election.Campaign(ctx, c.Value); err != nil {
			return event{}, err
		}
		return event{Key: election.Key(), Rev: election.Rev(), Value: c.Value}, nil
	case "proclaim":
		return event{}, election.Proclaim(ctx, c.Value)
	case "resign":
		return event{}, election.Resign(ctx)
	case "leader":
		response, err := election.Leader(ctx)
		if errors.Is(err, concurrency.ErrElectionNoLeader) {
			return event{}, nil
		}
		if err != nil {
			return event{}, err
		}
		return leaderEvent(response), nil
	case "observe":
		for response := range election.Observe(ctx) {
			seen := leaderEvent(&response)
			seen.ID, seen.Event = c.ID, "leader"
			p.tell(seen)
		}
		return event{}, nil
	}
	return event{}, fmt.Errorf("no command %q", c.Do)
}

func (p *peer) lock(ctx context.Context, c command, mutex *concurrency.Mutex) (event, error) {
	switch c.Do {
	case "lock":
		err := mutex.Lock(ctx)
		return event{Key: mutex.Key()}, err
	case "trylock":
		err := mutex.TryLock(ctx)
		return event{Key: mutex.Key()}, err
	}
	return event{}, mutex.Unlock(ctx)
}

func leaderEvent(response *clientv3.GetResponse) event {
	kv := response.Kvs[0]
	return event{Key: string(kv.Key), Value: string(kv.Value), Rev: kv.CreateRevision, Lease: kv.Lease}
}

func (p *peer) election(session *concurrency.Session, c command) *concurrency.Election {
	p.mu.Lock()
	defer p.mu.Unlock()
	id := c.Session + " " + c.Prefix
	if p.elections[id] == nil {
		p.elections[id] = concurrency.NewElection(session, c.Prefix)
	}
	return p.elections[id]
}

func (p *peer) mutex(session *concurrency.Session, c command) *concurrency.Mutex {
	p.mu.Lock()
	defer p.mu.Unlock()
	id := c.Session + " " + c.Prefix
	if p.mutexes[id] == nil {
		p.mutexes[id] = concurrency.NewMutex(session, c.Prefix)
	}
	return p.mutexes[id]
}

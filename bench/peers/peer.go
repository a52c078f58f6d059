// The Go client's concurrency package as the benchmark uses it. Orders are JSON lines on stdin, answers and events JSON
// lines on stdout: see protocol.ts.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

type config struct {
	Endpoint   string `json:"endpoint"`
	TTLSeconds int    `json:"ttlSeconds"`
}

type order struct {
	ID         int     `json:"id"`
	Do         string  `json:"do"`
	Seat       int     `json:"seat"`
	Rounds     int     `json:"rounds"`
	GapMs      float64 `json:"gapMs"`
	Election   string  `json:"election"`
	Value      string  `json:"value"`
	Elections  int     `json:"elections"`
	Shared     bool    `json:"shared"`
	Candidates int     `json:"candidates"`
	Observers  int     `json:"observers"`
}

type line struct {
	T        string    `json:"t"`
	ID       int       `json:"id"`
	Values   []float64 `json:"values"`
	Reason   string    `json:"reason,omitempty"`
	Election string    `json:"election,omitempty"`
	Seat     int       `json:"seat"`
	Value    string    `json:"value,omitempty"`
	At       float64   `json:"at"`
}

type place struct {
	seat     int
	election string
}

type peer struct {
	config   config
	client   *clientv3.Client
	mu       sync.Mutex
	out      *json.Encoder
	sessions map[int]*concurrency.Session
	held     map[place]*concurrency.Election
	gates    map[string]chan struct{}
	names    int
}

// With 5,000 requests at once etcd refuses what else comes.
const holdsAtOnce = 1000

var background = context.Background()

func main() {
	p := &peer{
		out:      json.NewEncoder(os.Stdout),
		sessions: map[int]*concurrency.Session{},
		held:     map[place]*concurrency.Election{},
		gates:    map[string]chan struct{}{},
	}
	if err := json.Unmarshal([]byte(os.Args[1]), &p.config); err != nil {
		fail(err)
	}
	client, err := p.connect()
	if err != nil {
		fail(err)
	}
	p.client = client
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var o order
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
			fail(err)
		}
		go func() {
			values, err := p.carryOut(o)
			if err != nil {
				p.tell(line{T: "failed", ID: o.ID, Reason: err.Error()})
			} else {
				p.tell(line{T: "done", ID: o.ID, Values: values})
			}
		}()
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// Milliseconds by the monotonic clock, which all processes of a machine share and Go's time does not show.
func now() float64 {
	const monotonic = 1
	var at syscall.Timespec
	syscall.Syscall(syscall.SYS_CLOCK_GETTIME, monotonic, uintptr(unsafe.Pointer(&at)), 0)
	return float64(at.Nano()) / 1e6
}

func (p *peer) connect() (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{Endpoints: []string{p.config.Endpoint}, DialTimeout: 5 * time.Second})
}

func (p *peer) tell(l line) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.out.Encode(l); err != nil {
		os.Exit(1)
	}
}

func (p *peer) carryOut(o order) ([]float64, error) {
	switch o.Do {
	case "ready":
		_, err := p.session(o.Seat)
		return nil, err
	case "campaign":
		return series(o.Rounds, p.campaign)
	case "from-nothing":
		return series(o.Rounds, p.fromNothing)
	case "stand":
		startedAt := now()
		go p.stand(o)
		return []float64{startedAt}, nil
	case "resign":
		startedAt := now()
		return []float64{startedAt}, p.heldBy(o).Resign(background)
	case "proclaim":
		return p.proclaim(o)
	case "proclaim-one":
		startedAt := now()
		return []float64{startedAt}, p.heldBy(o).Proclaim(background, o.Value)
	case "observe":
		session, err := p.session(0)
		if err != nil {
			return nil, err
		}
		go func() {
			for response := range concurrency.NewElection(session, o.Election).Observe(background) {
				at := now()
				p.tell(line{T: "leader", Election: o.Election, Value: string(response.Kvs[0].Value), At: at})
			}
		}()
		return nil, nil
	case "observe-many":
		return nil, p.observeMany(o)
	case "hold":
		return p.hold(o)
	case "queue":
		go p.queue(o)
		return nil, nil
	case "drain":
		close(p.gate(o.Election))
		return []float64{now()}, nil
	}
	return nil, fmt.Errorf("no order %q", o.Do)
}

func series(rounds int, measure func() (float64, error)) ([]float64, error) {
	values := []float64{}
	for round := 0; round < rounds; round++ {
		value, err := measure()
		if err != nil {
			return nil, err
		}
		values = append(values, value)
	}
	return values, nil
}

func (p *peer) session(seat int) (*concurrency.Session, error) {
	p.mu.Lock()
	session := p.sessions[seat]
	p.mu.Unlock()
	if session != nil {
		return session, nil
	}
	session, err := concurrency.NewSession(p.client, concurrency.WithTTL(p.config.TTLSeconds))
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	p.sessions[seat] = session
	p.mu.Unlock()
	return session, nil
}

func (p *peer) newName() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.names++
	return fmt.Sprintf("election/%d-%d", os.Getpid(), p.names)
}

func (p *peer) campaign() (float64, error) {
	session, err := p.session(0)
	if err != nil {
		return 0, err
	}
	name := p.newName()
	startedAt := now()
	election := concurrency.NewElection(session, name)
	if err := election.Campaign(background, "value"); err != nil {
		return 0, err
	}
	tookMs := now() - startedAt
	return tookMs, election.Resign(background)
}

func (p *peer) fromNothing() (float64, error) {
	name := p.newName()
	startedAt := now()
	client, err := p.connect()
	if err != nil {
		return 0, err
	}
	defer client.Close()
	session, err := concurrency.NewSession(client, concurrency.WithTTL(p.config.TTLSeconds))
	if err != nil {
		return 0, err
	}
	election := concurrency.NewElection(session, name)
	if err := election.Campaign(background, "value"); err != nil {
		return 0, err
	}
	tookMs := now() - startedAt
	if err := election.Resign(background); err != nil {
		return 0, err
	}
	return tookMs, session.Close()
}

func (p *peer) stand(o order) {
	session, err := p.session(o.Seat)
	if err != nil {
		fail(err)
	}
	election := concurrency.NewElection(session, o.Election)
	if err := election.Campaign(background, o.Value); err != nil {
		fail(err)
	}
	at := now()
	p.mu.Lock()
	p.held[place{o.Seat, o.Election}] = election
	p.mu.Unlock()
	p.tell(line{T: "elected", Election: o.Election, Seat: o.Seat, At: at})
}

func (p *peer) heldBy(o order) *concurrency.Election {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.held[place{o.Seat, o.Election}]
}

func (p *peer) proclaim(o order) ([]float64, error) {
	election := p.heldBy(o)
	values := []float64{}
	for round := 0; round < o.Rounds; round++ {
		values = append(values, now())
		if err := election.Proclaim(background, fmt.Sprintf("value-%d", round)); err != nil {
			return nil, err
		}
		values = append(values, now())
		if o.GapMs > 0 {
			time.Sleep(time.Duration(o.GapMs * float64(time.Millisecond)))
		}
	}
	return values, nil
}

func (p *peer) observeMany(o order) error {
	session, err := p.session(0)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	heard := map[string]int{}
	hear := func(value string) {
		mu.Lock()
		heard[value]++
		last := heard[value] == o.Observers
		mu.Unlock()
		if last {
			p.tell(line{T: "heard", Election: o.Election, Value: value, At: now()})
		}
	}
	for index := 0; index < o.Observers; index++ {
		go func() {
			for response := range concurrency.NewElection(session, o.Election).Observe(background) {
				hear(string(response.Kvs[0].Value))
			}
		}()
	}
	return nil
}

func (p *peer) hold(o order) ([]float64, error) {
	startedAt := now()
	failures := make(chan error, o.Elections)
	atOnce := make(chan struct{}, holdsAtOnce)
	if o.Shared {
		if _, err := p.session(0); err != nil {
			return nil, err
		}
	}
	for index := 0; index < o.Elections; index++ {
		seat := index
		if o.Shared {
			seat = 0
		}
		go func() {
			atOnce <- struct{}{}
			defer func() { <-atOnce }()
			session, err := p.session(seat)
			if err == nil {
				err = concurrency.NewElection(session, p.newName()).Campaign(background, "value")
			}
			failures <- err
		}()
	}
	for index := 0; index < o.Elections; index++ {
		if err := <-failures; err != nil {
			return nil, err
		}
	}
	return []float64{now() - startedAt}, nil
}

func (p *peer) queue(o order) {
	gate := p.gate(o.Election)
	var all sync.WaitGroup
	for index := 0; index < o.Candidates; index++ {
		all.Add(1)
		go func(seat int) {
			defer all.Done()
			session, err := p.session(seat)
			if err != nil {
				fail(err)
			}
			election := concurrency.NewElection(session, o.Election)
			if err := election.Campaign(background, "value"); err != nil {
				fail(err)
			}
			<-gate
			if err := election.Resign(background); err != nil {
				fail(err)
			}
		}(index)
	}
	all.Wait()
	p.tell(line{T: "drained", Election: o.Election, At: now()})
}

func (p *peer) gate(election string) chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gates[election] == nil {
		p.gates[election] = make(chan struct{})
	}
	return p.gates[election]
}

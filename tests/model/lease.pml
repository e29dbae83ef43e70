/* SPDX-License-Identifier: MIT */
/* lease: three gateways, one room, one Redis. Each gateway keeps a lease, a register of the room,
 * and its set of rooms; whoever falls silent is declared dead and reaped by the others, and may
 * wake up again.
 *
 * Checked
 *   - nobody is declared dead who lives and has renewed;
 *   - no gateway writes under an id that was declared dead and that it could know to be so, and no
 *     id is ever taken twice;
 *   - at rest every living gateway stands in Redis once, with its members counted once, and of the
 *     dead nothing is left.
 *
 * Time is not in it: a gateway that is sick (frozen, or cut off) may be judged at any moment, one
 * that is well never, because its counter rises meanwhile. That is what the rules of lease.h give
 * (700 ms and 5 s; a late reply or a new link starts all timers anew), and
 * tests/unit/test_bus_lease.c holds them to it. README.md says what else is left out.
 *
 * Planted faults, which the check must find (tests/model/run):
 *   BROKEN_REAP     the sentence does not look at the counter that was judged
 *   BROKEN_ZOMBIE   a gateway that stood still writes before it renews
 *   BROKEN_TIMER    a late reply does not start the timers anew: the living are judged as well
 *   BROKEN_SAME_ID  a gateway that was declared dead goes on under its id
 *   BROKEN_ORDER    the register is written before the set of rooms, without the background check
 * And a limit, which the check must show to be one:
 *   LIMIT_NO_CHECK  without the background check a call that was long under way leaves a ghost */

#define GATEWAYS 3
#ifndef ALIVE
#define ALIVE 3 /* of them, at the start */
#endif
#ifndef FAULTS
#define FAULTS 3
#endif
/* Ids that can be taken: a loss of everything takes one a gateway, any other fault at most one. */
#ifndef IDS
#define IDS 5
#endif
#if IDS > 5
#define EACH_ID(WHAT) WHAT(0) WHAT(1) WHAT(2) WHAT(3) WHAT(4) WHAT(5)
#else
#define EACH_ID(WHAT) WHAT(0) WHAT(1) WHAT(2) WHAT(3) WHAT(4)
#endif

#ifdef BROKEN_ORDER
#define NO_CHECK
#define NO_LATE
#define NO_LOSS
#endif
#ifdef LIMIT_NO_CHECK
#define NO_CHECK
#endif

/* ---- what Redis holds */

#define ABSENT 0
#define OURS 1    /* the counter goes on from its gateway's start */
#define FOREIGN 2 /* HINCRBY made it anew: its gateway will not know it */
byte entry[IDS];    /* <prefix>:gateways */
bool reaping[IDS];  /* <prefix>:reaping */
bool in_rooms[IDS]; /* <prefix>:gateway:<id>:rooms has the room */
bool online[IDS];   /* the room's `online` has a register above 0 */
bool late[IDS];     /* a parley1_presence that is under way, from a link that died */

/* ---- the gateways */

byte id[GATEWAYS];
bool dead[GATEWAYS];       /* kill -9: for ever */
bool sick[GATEWAYS];       /* frozen, or cut off: does nothing */
bool unclear[GATEWAYS];    /* !me.clear of redis_lease.c: renews before it sends anything else */
bool registered[GATEWAYS]; /* me.registered */
bool in_set[GATEWAYS];     /* bus_room.in_set */
bool told[GATEWAYS];       /* the register says what there is */
bool members[GATEWAYS];    /* somebody is in the room here */

/* Sentences under way to Redis, id + 1 each, with whether the counter is the judged one: about
 * another gateway, and about what was the own id. */
byte judged[GATEWAYS], given_up[GATEWAYS];
bool stands[GATEWAYS], up_stands[GATEWAYS];

byte reaps[GATEWAYS]; /* struct reap: id + 1 */
bool removed[GATEWAYS]; /* the reap is half done */

/* Not part of the system. */
bool sentenced[IDS];
byte taken, faults;
byte i;

#define well(g) (!dead[g] && !sick[g])
#define renews(x) ((well(0) && id[0] == x) || (well(1) && id[1] == x) || (well(2) && id[2] == x))
#define clear_as(g, x) (well(g) && !unclear[g] && id[g] == x)
#define clear(x) (clear_as(0, x) || clear_as(1, x) || clear_as(2, x))
#define doubted(x) ((judged[0] == x + 1 && stands[0]) || (judged[1] == x + 1 && stands[1]) || \
                    (judged[2] == x + 1 && stands[2]))

/* ---- Redis */

/* HINCRBY: whatever was judged of this counter is judged no more. */
inline raise(x, becomes)
{
    entry[x] = becomes;
    i = 0;
    do
    :: i < GATEWAYS ->
        if
        :: judged[i] == x + 1 -> stands[i] = false
        :: else -> skip
        fi;
        if
        :: given_up[i] == x + 1 -> up_stands[i] = false
        :: else -> skip
        fi;
        i++
    :: else -> break
    od;
    i = 0
}

/* parley1_sentence, and answer_sentence() of redis_others.c where the answer finds somebody. */
inline sentence(g, x, counter_stands)
{
    if
    :: entry[x] != ABSENT && (counter_stands
#ifdef BROKEN_REAP
                              || true
#endif
                             ) ->
        printf("redis: gateway %d is declared dead\n", x);
        assert(!clear(x)); /* it lives, and has renewed */
        entry[x] = ABSENT;
        reaping[x] = true;
        sentenced[x] = true;
        if
        :: well(g) && reaps[g] == 0 ->
            reaps[g] = x + 1
        :: else -> skip
        fi
    :: else -> skip
    fi
}

active proctype redis()
{
end:
    do
#define SENTENCE(g) \
    :: d_step { judged[g] != 0 -> \
            sentence(g, judged[g] - 1, stands[g]); \
            judged[g] = 0; \
            stands[g] = false } \
    :: d_step { given_up[g] != 0 -> \
            sentence(g, given_up[g] - 1, up_stands[g]); \
            given_up[g] = 0; \
            up_stands[g] = false }
    SENTENCE(0) SENTENCE(1) SENTENCE(2)
#define LATE(x) \
    :: d_step { late[x] -> \
            printf("redis: a late register of gateway %d\n", x); \
            late[x] = false; \
            online[x] = true }
    EACH_ID(LATE)
    od
}

/* ---- a gateway */

/* lose_identity(): a new id; what is left under the old one is reaped as anybody's. (The code does
 * not wait for the sentence, and reaps the rooms that it has besides those of the set.) */
inline lose_identity(g)
{
    printf("gateway %d: was declared dead, and becomes %d\n", id[g], taken);
    assert(taken < IDS); /* else the model is too small */
    given_up[g] = id[g] + 1;
    up_stands[g] = true;
    registered[g] = false;
    in_set[g] = false; /* room_forget_set() */
    told[g] = false;   /* presence_assert() */
    unclear[g] = true;
#ifndef BROKEN_SAME_ID
    id[g] = taken;
    taken++
#endif
}

/* renewed() of redis_lease.c */
inline renew(g)
{
    if
    :: registered[g] && entry[id[g]] == OURS ->
        raise(id[g], OURS);
        unclear[g] = false
    :: registered[g] && entry[id[g]] != OURS ->
        raise(id[g], FOREIGN);
        lose_identity(g)
    :: else ->
#ifndef BROKEN_SAME_ID
        assert(entry[id[g]] == ABSENT && !sentenced[id[g]]);
#endif
        printf("gateway %d: registers\n", id[g]);
        raise(id[g], OURS);
        registered[g] = true;
        unclear[g] = false
    fi
}

#define may_send(g) (well(g) && registered[g] && !unclear[g])
#ifdef BROKEN_ZOMBIE
#undef may_send
#define may_send(g) (well(g) && registered[g])
#endif
#ifdef BROKEN_ORDER
#define may_tell(g) true
#define may_add(g) told[g]
#else
#define may_tell(g) in_set[g]
#define may_add(g) true
#endif

proctype gateway(byte g)
{
end:
    do
    /* renew(): every tick; here when it makes a difference. */
    :: d_step { well(g) && given_up[g] == 0 &&
                (unclear[g] || entry[id[g]] != OURS || doubted(id[g])) ->
            renew(g)
        }
    /* redis_presence(): the room goes into the set before the register is written. */
    :: d_step { may_send(g) && members[g] && !in_set[g] && may_add(g) ->
            in_rooms[id[g]] = true;
            in_set[g] = true
        }
    :: d_step { may_send(g) && members[g] && !told[g] && may_tell(g) ->
            printf("gateway %d: writes its register\n", id[g]);
            assert(!sentenced[id[g]]);
            online[id[g]] = true;
            told[g] = true
        }
    /* The last member left; answer_presence() takes the room out of the set. */
    :: d_step { may_send(g) && !members[g] && told[g] ->
            printf("gateway %d: takes its register back\n", id[g]);
            online[id[g]] = false;
            told[g] = false
        }
    :: d_step { may_send(g) && !members[g] && !told[g] && in_set[g] ->
            in_rooms[id[g]] = false;
            in_set[g] = false
        }
    /* read_one() of redis_others.c: the lease of an id is over. */
#ifdef BROKEN_TIMER
#define silent(x) true
#else
#define silent(x) (!renews(x))
#endif
#define JUDGE(x) \
    :: d_step { well(g) && registered[g] && judged[g] == 0 && id[g] != x && entry[x] != ABSENT && \
                silent(x) && given_up[g] != x + 1 -> \
            printf("gateway %d: judges gateway %d\n", id[g], x); \
            judged[g] = x + 1; \
            stands[g] = true \
        }
    EACH_ID(JUDGE)
    /* redis_reap.c: the register of a room that the set names goes; then the room leaves the set,
     * which is empty then, and the work is done. */
    :: d_step { well(g) && reaps[g] != 0 && !removed[g] ->
            printf("gateway %d: reaps gateway %d\n", id[g], reaps[g] - 1);
            if
            :: in_rooms[reaps[g] - 1] -> online[reaps[g] - 1] = false
            :: else -> skip
            fi;
            removed[g] = true
        }
    :: d_step { well(g) && reaps[g] != 0 && removed[g] ->
            in_rooms[reaps[g] - 1] = false;
            reaping[reaps[g] - 1] = false;
            reaps[g] = 0;
            removed[g] = false
        }
    /* reap_leftovers(): whoever reaped it may have died of it, or is only slow. */
#define LEFTOVER(x) \
    :: d_step { well(g) && registered[g] && reaps[g] == 0 && reaping[x] -> reaps[g] = x + 1 }
    EACH_ID(LEFTOVER)
    od
}

#ifndef NO_CHECK
/* presence_on_check(): the own register is written again where it is not what it should be. */
#define REPAIR(g) \
    :: d_step { may_send(g) && told[g] == members[g] && online[id[g]] != members[g] -> \
            printf("gateway %d: repairs its register\n", id[g]); \
            online[id[g]] = members[g] }

/* redis_check.c, of any gateway that is well: a register or a set of rooms whose gateway is not
 * among the living is suspect, and reaped when it is not there at the second look either. */
proctype check()
{
    byte suspect, ghost; /* id + 1 */
#define SUSPECT(x) \
    :: d_step { suspect == 0 && entry[x] == ABSENT && (online[x] || in_rooms[x]) -> \
            suspect = x + 1 }
end:
    do
    REPAIR(0) REPAIR(1) REPAIR(2)
    EACH_ID(SUSPECT)
    :: d_step { suspect != 0 && ghost == 0 ->
            if
            :: entry[suspect - 1] == ABSENT -> ghost = suspect
            :: else -> skip
            fi;
            suspect = 0
        }
    /* The calls of reap_ghost() arrive. */
    :: d_step { ghost != 0 ->
            printf("check: removes what is left of gateway %d\n", ghost - 1);
            online[ghost - 1] = false;
            in_rooms[ghost - 1] = false;
            ghost = 0
        }
    od
}
#endif

/* ---- what goes wrong */

/* A call of a link that died may still be on its way: in the kernel of a host that is cut off. */
inline stop(g, leaves_call)
{
    faults++;
    unclear[g] = true;
    reaps[g] = 0;
    removed[g] = false;
    late[id[g]] = late[id[g]] || leaves_call
}

inline die(g)
{
    dead[g] = true;
    sick[g] = false;
    members[g] = false;
    unclear[g] = false;
    registered[g] = false;
    in_set[g] = false;
    told[g] = false
}

#ifdef NO_LATE
#define may_be_late(g) false
#else
#define may_be_late(g) (registered[g] && in_set[g] && members[g])
#endif

/* The gateways are alike: so the first fault is one of gateway 0, the next one of 0 or 1. */
#define may_fault(g) (faults < FAULTS && faults >= g)

#ifdef NO_CHURN
#define CHURN(g)
#else
#define CHURN(g) :: d_step { may_fault(g) && !dead[g] -> faults++; members[g] = !members[g] }
#endif

#define FAULTS_OF(g, one, other) \
    :: d_step { may_fault(g) && !dead[g] && !(dead[one] && dead[other]) -> \
            printf("world: gateway %d is killed\n", id[g]); \
            stop(g, false); die(g) } \
    :: d_step { may_fault(g) && well(g) -> \
            printf("world: gateway %d stands still\n", id[g]); stop(g, false); sick[g] = true } \
    :: d_step { may_fault(g) && well(g) && may_be_late(g) -> \
            printf("world: gateway %d is cut off, a call is under way\n", id[g]); \
            stop(g, true); sick[g] = true } \
    :: d_step { sick[g] -> printf("world: gateway %d is well again\n", id[g]); sick[g] = false } \
    CHURN(g)

proctype world()
{
end:
    do
    FAULTS_OF(0, 1, 2)
    FAULTS_OF(1, 0, 2)
    FAULTS_OF(2, 0, 1)
#ifndef NO_LOSS
    /* FLUSHALL */
    :: d_step { faults < FAULTS && taken == GATEWAYS ->
            printf("world: redis loses everything\n");
            faults++;
            i = 0;
            do
            :: i < IDS ->
                entry[i] = ABSENT;
                reaping[i] = false;
                in_rooms[i] = false;
                online[i] = false;
                i++
            :: else -> break
            od;
            i = 0
        }
#endif
    od
}

/* Nothing can happen any more. */
proctype rest()
{
    byte g;
    bool lives, counts;
    timeout ->
    d_step {
        printf("at rest\n");
        i = 0;
        do
        :: i < IDS ->
            lives = false;
            counts = false;
            g = 0;
            do
            :: g < GATEWAYS ->
                if
                :: !dead[g] && id[g] == i ->
                    assert(!lives); /* an id is one gateway's */
                    lives = true;
                    counts = members[g]
                :: else -> skip
                fi;
                g++
            :: else -> break
            od;
            assert(entry[i] == (lives -> OURS : ABSENT));
            assert(!reaping[i]);
            assert(online[i] == counts);
            assert(lives || !in_rooms[i]);
            i++
        :: else -> break
        od
    }
}

init
{
    d_step {
        taken = GATEWAYS;
        i = 0;
        do
        :: i >= ALIVE && i < GATEWAYS ->
            dead[i] = true;
            id[i] = i;
            i++
        :: i < ALIVE ->
            id[i] = i;
            members[i] = true;
            registered[i] = true;
            in_set[i] = true;
            told[i] = true;
            entry[i] = OURS;
            in_rooms[i] = true;
            online[i] = true;
            i++
        :: else -> break
        od;
        i = 0
    };
    atomic {
        run gateway(0);
        run gateway(1);
        run gateway(2);
        run world();
#ifndef NO_CHECK
        run check();
#endif
        run rest()
    }
}

/* SPDX-License-Identifier: MIT */
/* recovery: one room's log in Redis, a gateway that follows it, and a member who loses its
 * connection, is served by another gateway for a while, and resumes here with `since`.
 *
 * Checked
 *   - a member never sees a skip in the offsets without having been told a `gap`, each message at
 *     most once, and each in the epoch that it belongs to;
 *   - nobody is ever given two texts under one (epoch, offset);
 *   - when nothing happens any more, the gateway and the member have everything there is.
 *
 * Each step names the code it stands for. Left out (README.md says why): batches of more than one
 * message, the bounds of what is held, pages of a replay, slow readers, idempotency keys, time.
 *
 * Planted faults, which the check must find (tests/model/run):
 *   BROKEN_FENCE    Redis goes on with the old epoch after it came back with old data
 *   BROKEN_FILL     a new epoch's beginning that the state covers is not read from the log
 *   BROKEN_RESUME   a member that knows more than this gateway is told that the log began anew
 *   BROKEN_HOLD     a resuming member gets live messages before it has what it missed
 * And a limit, which the check must show to be one:
 *   LIMIT_SAME_RUN  the data goes back, and the run_id stays: a master that was a replica for a
 *                   while */

#ifndef MESSAGES
#define MESSAGES 4 /* that are published */
#endif
#ifndef FAULTS
#define FAULTS 3
#endif
#define KEPT 2             /* history_size */
#define LAST MESSAGES      /* the highest offset that can be reached */
#define EPOCHS (FAULTS + 2) /* 0: none */

/* ---- what Redis holds: <room>:meta, <room>:log, and what its last snapshot held of them */

byte run_id = 1;
byte epoch, offset, fence;
byte text[LAST + 1]; /* text[o]: the message at offset o; 0: not kept */
byte saved_epoch, saved_offset, saved_fence;
byte saved_text[LAST + 1];
byte epochs, published, faults;

/* What anybody was given: the text of (epoch, offset). Not part of the system: the check's. */
#define place(e, o) ((e) * (LAST + 1) + (o))
byte given[(EPOCHS + 1) * (LAST + 1)];

/* ---- the links of the gateway: subscription (pushes), commands (one of each kind at most) */

chan pushed = [LAST + 1] of { byte, byte, byte }; /* epoch, offset, text */
bool subscribed; /* Redis has our subscription */
bool fed;        /* we believe so: channel.fed */

bool state_asked, state_again; /* ROOM_READ_SENT and read_again of redis_room.c */
bool state_is_there;           /* the answer is on its way */
byte state_epoch, state_offset;

bool fill_asked, fill_is_there, fill_failed; /* failed: or its epoch is over */
byte fill_from, fill_read_to, fill_epoch; /* asked for */
byte fill_first, fill_end;                /* the answer; first > end: nothing */
byte fill_text[LAST + 1];

bool page_asked, page_is_there, page_failed, page_over;
byte page_first, page_end;
byte page_text[LAST + 1];

/* ---- struct follow and the bus's struct bus_room */

mtype = { OPENING, LIVE, FILLING, SYNCING, LOST };
mtype phase = OPENING;
bool alive;                    /* bus_room: payloads are passed on */
byte floor_epoch, floor_offset; /* bus_room: what the state that was told covers */
byte last_epoch, last_offset, fill_to;
bool known;
chan held = [LAST + 1] of { byte, byte, byte };
byte asked; /* so many of the first in `held` came before the state was asked for */

/* ---- the member, as client/js/position.js keeps its place */

bool attached; /* at this gateway; else away, or at another one */
bool ever;     /* it was a member before: it has a `since` */
bool holds;    /* its cursor is held: join.c replays */
byte my_epoch, my_offset;
byte cut_epoch, cut_offset, next;
chan behind = [LAST + FAULTS + 1] of { byte, byte, byte, bool }; /* the log while it is held */
bool seen[MESSAGES + 1];

/* Scratch of single steps: always 0 between them. */
byte e, o, t, i;
bool b, renewed;

/* ---- the member's side: what each kind of frame does */

inline give(at_epoch, at_offset, what)
{
    assert(given[place(at_epoch, at_offset)] == 0 || given[place(at_epoch, at_offset)] == what);
    given[place(at_epoch, at_offset)] = what
}

/* A chat. It carries no epoch: the member believes that it is of the one it was told last. */
inline chat(at_epoch, at_offset, what)
{
    printf("member: gets message %d, offset %d of epoch %d\n", what, at_offset, at_epoch);
    assert(at_epoch == my_epoch);
    if
    :: at_offset <= my_offset -> skip /* a repetition: dropped */
    :: else ->
        assert(at_offset == my_offset + 1); /* no skip without a gap */
        assert(!seen[what]);                /* at most once */
        seen[what] = true;
        give(my_epoch, at_offset, what);
        my_offset = at_offset
    fi
}

inline gap_history(at_epoch, to)
{
    printf("member: gap, history, to offset %d of epoch %d\n", to, at_epoch);
    assert(at_epoch == my_epoch);
    if
    :: to > my_offset -> my_offset = to
    :: else -> skip
    fi
}

inline gap_reset(at_epoch, to)
{
    printf("member: gap, reset, to offset %d of epoch %d\n", to, at_epoch);
    my_epoch = at_epoch;
    my_offset = to
}

/* ---- Redis: parley.lua. A function is one step. */

/* position() and renew(): `meta` missing, or written under another run_id, begins a new epoch, and
 * the offset goes on from the newest entry of the log. */
inline position()
{
    renewed = false;
#ifdef BROKEN_FENCE
    if
    :: epoch == 0 -> renewed = true
    :: else -> skip
    fi;
#else
    if
    :: epoch == 0 || fence != run_id -> renewed = true
    :: else -> skip
    fi;
#endif
    if
    :: renewed ->
        epochs++;
        epoch = epochs;
        fence = run_id;
        offset = LAST;
        do
        :: offset > 0 && text[offset] == 0 -> offset--
        :: else -> break
        od
    :: else -> skip
    fi
}

/* parley1_read: the rows from `from` to `to` that are kept. It begins no epoch: `over` says that the
 * one asked for has ended, or does with the next call that writes. */
inline read_log(of_epoch, from, to, first, last, over)
{
    first = 1;
    last = 0;
    over = of_epoch != epoch;
#ifndef BROKEN_FENCE
    over = over || fence != run_id;
#endif
    if
    :: !over ->
        first = from;
        do
        :: first <= to && text[first] == 0 -> first++
        :: else -> break
        od;
        last = first - 1;
        do
        :: last < to && text[last + 1] != 0 -> last++
        :: else -> break
        od
    :: else -> skip
    fi;
    i = first
}

active proctype redis()
{
end:
    do
    /* parley1_publish, called by any gateway. */
    :: d_step { published < MESSAGES && nfull(pushed) ->
            position();
            published++;
            offset++;
            text[offset] = published;
            if
            :: offset > KEPT -> text[offset - KEPT] = 0 /* MAXLEN */
            :: else -> skip
            fi;
            give(epoch, offset, published); /* the ack */
            printf("redis: message %d is offset %d of epoch %d\n", published, offset, epoch);
            if
            :: subscribed -> pushed!epoch, offset, published
            :: else -> skip
            fi;
            renewed = false
        }
    /* parley1_room. A request that a lost link swallowed is sent again (`repeatable`), so it waits
     * here through a restart. */
    :: d_step { state_asked && !state_is_there ->
            position();
            state_is_there = true;
            state_epoch = epoch;
            state_offset = offset;
            renewed = false;
            printf("redis: answers the state: epoch %d, offset %d\n", epoch, offset)
        }
    /* parley1_read, for follow.c, and for join.c. */
    :: d_step { fill_asked && !fill_is_there ->
            fill_is_there = true;
            read_log(fill_epoch, fill_from, fill_read_to, fill_first, fill_end, fill_failed);
            do
            :: i <= fill_end ->
                fill_text[i] = text[i];
                i++
            :: else -> break
            od;
            i = 0
        }
    :: d_step { page_asked && !page_is_there ->
            page_is_there = true;
            read_log(cut_epoch, next, cut_offset, page_first, page_end, page_over);
            do
            :: i <= page_end ->
                page_text[i] = text[i];
                i++
            :: else -> break
            od;
            i = 0
        }
    od
}

/* ---- what goes wrong */

inline cut_subscription()
{
    do
    :: pushed?_, _, _
    :: empty(pushed) -> break
    od;
    subscribed = false
}

active proctype world()
{
end:
    do
    /* SAVE: at any time, and what was saved last comes back. */
    :: d_step { saved_offset < offset && faults < FAULTS ->
            saved_epoch = epoch;
            saved_offset = offset;
            saved_fence = fence;
            printf("redis: saves epoch %d, offset %d\n", epoch, offset);
            i = 0;
            do
            :: i <= LAST ->
                saved_text[i] = text[i];
                i++
            :: else -> break
            od;
            i = 0
        }
    /* kill -9 and a restart from the snapshot, which is an empty one at first. */
    :: d_step { faults < FAULTS ->
            faults++;
#ifndef LIMIT_SAME_RUN
            run_id++;
#endif
            epoch = saved_epoch;
            offset = saved_offset;
            fence = saved_fence;
            printf("redis: restarts with epoch %d, offset %d, run %d\n", epoch, offset, run_id);
            i = 0;
            do
            :: i <= LAST ->
                text[i] = saved_text[i];
                i++
            :: else -> break
            od;
            i = 0;
            cut_subscription()
        }
    /* FLUSHALL, or the loss of `meta` or of the log alone: the links stay. */
    :: d_step { faults < FAULTS ->
            printf("redis: loses everything\n");
            faults++;
            epoch = 0;
            offset = 0;
            i = 0;
            do
            :: i <= LAST ->
                text[i] = 0;
                i++
            :: else -> break
            od;
            i = 0
        }
    :: d_step { faults < FAULTS && epoch != 0 ->
            printf("redis: loses meta\n");
            faults++;
            epoch = 0;
            offset = 0
        }
    :: d_step { faults < FAULTS ->
            printf("redis: loses the log\n");
            faults++;
            i = 0;
            do
            :: i <= LAST ->
                text[i] = 0;
                i++
            :: else -> break
            od;
            i = 0
        }
    /* The subscription alone is lost: CLIENT KILL, a full output buffer, a cut cable. */
    :: d_step { faults < FAULTS && subscribed ->
            printf("redis: the subscription is cut\n");
            faults++;
            cut_subscription()
        }
    /* A read that fails: Redis says LOADING or BUSY. */
    :: d_step { faults < FAULTS && fill_asked && !fill_is_there ->
            printf("redis: a read fails\n");
            faults++;
            fill_is_there = true;
            fill_failed = true
        }
    :: d_step { faults < FAULTS && page_asked && !page_is_there ->
            printf("redis: a member's read fails\n");
            faults++;
            page_is_there = true;
            page_failed = true
        }
    /* The member's own connection. What was on its way to it is lost with it. */
    :: d_step { faults < FAULTS && attached ->
            printf("member: its connection is cut\n");
            faults++;
            attached = false;
            do
            :: behind?_, _, _, _
            :: empty(behind) -> break
            od;
            holds = false
        }
    /* Away from here, it may be at another gateway, which may be ahead of ours. */
    :: d_step { !attached && ever && my_epoch == epoch && fence == run_id && my_offset < offset &&
                text[my_offset + 1] != 0 ->
            printf("member: is at another gateway\n");
            chat(epoch, my_offset + 1, text[my_offset + 1])
        }
    od
}

/* ---- the gateway: chat/follow.c on bus/redis_room.c, chat/join.c */

/* on_message of room.c: to the members that are not held at once, else into the log behind their
 * cursor. */
inline relay(at_epoch, at_offset, what)
{
    if
    :: attached && holds -> behind!at_epoch, at_offset, what, false
    :: attached && !holds -> chat(at_epoch, at_offset, what)
    :: else -> skip
    fi
}

inline tell_history(at_epoch, to)
{
    if
    :: attached && holds -> behind!at_epoch, to, 0, false
    :: attached && !holds -> gap_history(at_epoch, to)
    :: else -> skip
    fi
}

inline tell_reset(at_epoch, to)
{
    if
    :: attached && holds -> behind!at_epoch, to, 0, true
    :: attached && !holds -> gap_reset(at_epoch, to)
    :: else -> skip
    fi
}

inline queue_read()
{
    if
    :: state_asked -> state_again = true
    :: else -> state_asked = true
    fi
}

/* start_sync(): what is held now came before the answer. */
inline start_sync()
{
    printf("gateway: asks for the state, and holds\n");
    phase = SYNCING;
    asked = len(held);
    if
    :: fed -> queue_read() /* redis_sync_room() */
    :: else -> skip
    fi
}

/* start_fill(): an answer that nobody waits for any more may still be under way. */
inline start_fill(to)
{
    if
    :: fill_asked -> start_sync()
    :: else ->
        printf("gateway: reads offsets %d to %d of epoch %d\n", last_offset + 1, to, last_epoch);
        phase = FILLING;
        fill_to = to;
        fill_from = last_offset + 1;
        fill_read_to = to;
        fill_epoch = last_epoch;
        fill_asked = true
    fi
}

/* pass_on(): what was passed on before is dropped. */
inline pass_on(at_epoch, at_offset, what)
{
    if
    :: at_offset > last_offset ->
        last_offset = at_offset;
        relay(at_epoch, at_offset, what)
    :: else -> skip
    fi
}

inline drop_first()
{
    held?_, _, _;
    if
    :: asked > 0 -> asked--
    :: else -> skip
    fi
}

/* drain(): what was held, as far as it goes on from the last one; else the phase changes. */
inline drain()
{
    do
    :: phase != LIVE || empty(held) -> break
    :: phase == LIVE && nempty(held) ->
        held?<e, o, t>;
        if
        :: e != last_epoch && asked > 0 -> drop_first() /* past: the state was read after it */
        :: e != last_epoch && asked == 0 -> start_sync()
        :: e == last_epoch && o <= last_offset + 1 ->
            pass_on(e, o, t);
            drop_first()
        :: e == last_epoch && o > last_offset + 1 -> start_fill(o - 1)
        fi
    od;
    e = 0;
    o = 0;
    t = 0
}

inline become_live()
{
    phase = LIVE;
    printf("gateway: is live at offset %d of epoch %d\n", last_offset, last_epoch);
    drain()
}

/* begin_epoch(): it is followed from the first message of it that was held, else from its end. */
inline begin_epoch()
{
    last_epoch = state_epoch;
    last_offset = state_offset;
    i = len(held);
    do
    :: i > 0 -> /* once around: the order is the same afterwards */
        held?e, o, t;
        if
        :: e == state_epoch && o <= last_offset -> last_offset = o - 1
        :: else -> skip
        fi;
        held!e, o, t;
        i--
    :: else -> break
    od;
    e = 0;
    o = 0;
    t = 0;
    tell_reset(last_epoch, last_offset)
}

/* apply_state() and cover(): what the state covers is not pushed any more, so what of it was not
 * held is read. */
inline apply_state()
{
    if
    :: !known ->
        known = true;
        last_epoch = state_epoch;
        last_offset = state_offset;
        become_live()
    :: known && last_epoch != state_epoch ->
        begin_epoch();
        become_live();
#ifndef BROKEN_FILL
        if
        :: phase == FILLING && fill_to < state_offset -> fill_to = state_offset
        :: phase == LIVE && last_offset < state_offset -> start_fill(state_offset)
        :: else -> skip
        fi
#endif
    :: else ->
        if
        :: state_offset > last_offset -> start_fill(state_offset)
        :: else -> become_live()
        fi
    fi
}

/* follow_on_synced(), and on_open() for the first. */
inline on_state()
{
    if
    :: phase == FILLING && last_epoch == state_epoch ->
        if
        :: state_offset > fill_to -> fill_to = state_offset
        :: else -> skip
        fi
    :: phase == LIVE && last_epoch == state_epoch && state_offset <= last_offset -> skip
    :: else -> apply_state()
    fi
}

/* follow_on_log() */
inline on_log(at_epoch, at_offset, what)
{
    if
    :: phase == LIVE && at_epoch == last_epoch && at_offset <= last_offset + 1 ->
        pass_on(at_epoch, at_offset, what)
    :: else ->
        held!at_epoch, at_offset, what;
        if
        :: phase == LIVE -> drain()
        :: else -> skip
        fi
    fi
}

/* on_filled() */
inline on_filled()
{
    if
    :: fill_first > fill_end -> /* nothing is kept */
        last_offset = fill_read_to;
        tell_history(last_epoch, last_offset)
    :: else ->
        if
        :: fill_first > last_offset + 1 ->
            last_offset = fill_first - 1;
            tell_history(last_epoch, last_offset)
        :: else -> skip
        fi;
        i = fill_first;
        do
        :: i <= fill_end ->
            pass_on(last_epoch, i, fill_text[i]);
            i++
        :: else -> break
        od;
        i = 0
    fi;
    if
    :: last_offset < fill_to -> start_fill(fill_to)
    :: else -> become_live()
    fi
}

inline forget_fill()
{
    fill_is_there = false;
    fill_failed = false;
    i = 0;
    do
    :: i <= LAST ->
        fill_text[i] = 0;
        i++
    :: else -> break
    od;
    i = 0;
    if
    :: !fill_asked ->
        fill_from = 0;
        fill_read_to = 0;
        fill_epoch = 0
    :: else -> skip
    fi;
    fill_first = 0;
    fill_end = 0
}

/* go_live() of join.c: the held cursor is released. */
inline go_live()
{
    holds = false;
    do
    :: behind?e, o, t, b ->
        if
        :: b -> gap_reset(e, o)
        :: !b && t == 0 -> gap_history(e, o)
        :: else -> chat(e, o, t)
        fi
    :: empty(behind) -> break
    od;
    e = 0;
    o = 0;
    t = 0;
    b = false
}

/* begin_replay() of join.c */
inline begin_replay()
{
    attached = true;
    printf("gateway: lets the member in at offset %d of epoch %d, who is at %d of %d\n",
           last_offset, last_epoch, my_offset, my_epoch);
    cut_epoch = last_epoch;
    cut_offset = last_offset;
    next = cut_offset + 1;
    if
    :: !ever -> /* the first welcome: everything from here on */
        ever = true;
        my_epoch = cut_epoch;
        my_offset = cut_offset
    :: ever && (my_epoch != cut_epoch || my_offset > cut_offset) ->
        gap_reset(cut_epoch, cut_offset) /* welcome, recovered: false */
    :: else -> next = my_offset + 1
    fi;
    if
    :: next <= cut_offset ->
#ifndef BROKEN_HOLD
        holds = true;
#endif
        page_asked = true
    :: else ->
        cut_epoch = 0;
        cut_offset = 0;
        next = 0
    fi
}

/* replay() of join.c; its welcome says `recovered` where the page begins with what was asked. */
inline replay()
{
    if
    :: page_first > page_end -> gap_history(cut_epoch, cut_offset)
    :: else ->
        if
        :: page_first > next -> gap_history(cut_epoch, page_first - 1)
        :: else -> skip
        fi;
        i = page_first;
        do
        :: i <= page_end ->
            chat(cut_epoch, i, page_text[i]);
            i++
        :: else -> break
        od;
        i = 0;
        if
        :: page_end < cut_offset -> gap_history(cut_epoch, cut_offset) /* the next page is empty */
        :: else -> skip
        fi
    fi;
    go_live()
}

/* epoch_over() of join.c: welcome, recovered: false; the room's state brings the reset. */
inline epoch_over()
{
    gap_history(cut_epoch, cut_offset);
    if
    :: fed -> queue_read()
    :: else -> skip
    fi;
    go_live()
}

/* refuse() of join.c: unavailable, and no member; it comes back with what it knows. */
inline refuse()
{
    attached = false;
    holds = false;
    do
    :: behind?_, _, _, _
    :: empty(behind) -> break
    od
}

inline forget_page()
{
    page_asked = false;
    page_is_there = false;
    page_failed = false;
    page_over = false;
    page_first = 0;
    page_end = 0;
    cut_epoch = 0;
    cut_offset = 0;
    next = 0;
    i = 0;
    do
    :: i <= LAST ->
        page_text[i] = 0;
        i++
    :: else -> break
    od;
    i = 0
}

active proctype gateway()
{
end:
    do
    /* channel_link_down(), on_lost() of redis_room.c, follow_on_lost() */
    :: d_step { fed && !subscribed ->
            printf("gateway: sees that its subscription is lost\n");
            fed = false;
            if
            :: alive ->
                alive = false;
                phase = LOST;
                asked = 0;
                do
                :: held?_, _, _
                :: empty(held) -> break
                od
            :: else -> skip
            fi
        }
    /* The link is up again, and the subscription is confirmed. */
    :: d_step { !fed ->
            printf("gateway: subscribes, and asks for the state\n");
            subscribed = true;
            fed = true;
            queue_read()
        }
    /* answer_room(), tell() of redis_room.c. What is pushed while the state is read waits in
     * `pushed`: the bus's own held list. */
    :: d_step { state_is_there ->
            state_is_there = false;
            state_asked = false;
            if
            :: fed && state_again ->
                state_again = false;
                state_asked = true
            :: fed && !state_again ->
                printf("gateway: learns the state: epoch %d, offset %d\n", state_epoch,
                       state_offset);
                floor_epoch = state_epoch;
                floor_offset = state_offset;
                alive = true;
                on_state()
            :: else -> state_again = false
            fi;
            state_epoch = 0;
            state_offset = 0
        }
    /* on_payload(), pass_log() of redis_room.c */
    :: d_step { alive && nempty(pushed) ->
            pushed?e, o, t;
            printf("gateway: is pushed message %d, offset %d of epoch %d\n", t, o, e);
            if
            :: e == floor_epoch && o <= floor_offset ->
                e = 0;
                o = 0;
                t = 0
            :: else -> on_log(e, o, t)
            fi;
            e = 0;
            o = 0;
            t = 0
        }
    /* on_read() of follow.c */
    :: d_step { fill_is_there ->
            fill_asked = false;
            if
            :: phase == FILLING && !fill_failed -> on_filled()
            :: phase == FILLING && fill_failed -> start_sync()
            :: else -> skip
            fi;
            forget_fill()
        }
    /* join_try(): one who knows more than we do of this epoch waits until we have caught up. */
    :: d_step { !attached && phase == LIVE && !page_asked && (!ever || my_epoch != last_epoch ||
#ifdef BROKEN_RESUME
                true ||
#endif
                my_offset <= last_offset) ->
            begin_replay()
        }
    :: d_step { !attached && phase == LIVE && !page_asked && ever && my_epoch == last_epoch &&
                my_offset > last_offset && !state_asked ->
            queue_read()
        }
    /* on_page(); with the session gone there is nobody to tell. */
    :: d_step { page_is_there ->
            if
            :: attached && page_failed -> refuse()
            :: attached && !page_failed && page_over -> epoch_over()
            :: attached && !page_failed && !page_over -> replay()
            :: else -> skip
            fi;
            forget_page()
        }
    od
}

/* Nothing can happen any more: everybody has what there is. Redis may be in an epoch that nobody
 * here knows, as long as nothing was published in it. */
active proctype rest()
{
    timeout ->
    printf("at rest: redis %d of %d, gateway %d of %d, member %d of %d\n", offset, epoch,
           last_offset, last_epoch, my_offset, my_epoch);
    assert(phase == LIVE && attached && !holds);
    assert(given[place(epoch, offset)] == 0 || (last_epoch == epoch && last_offset == offset));
    assert(my_epoch == last_epoch && my_offset == last_offset)
}

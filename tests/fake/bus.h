/* SPDX-License-Identifier: MIT */
/* bus: instead of gateway/bus. It notes what it is asked, one line of text each, and does nothing:
 * the test completes each call with the result that it wants, and raises events.
 *
 *   open ROOM                          open-user USER                 sync ROOM
 *   close ROOM                         close-user USER
 *   publish ROOM USER KEY DATA         signal ROOM CONNECTION LINE    direct TO FROM KEY LINE
 *   presence ROOM [full ]COUNT: CONNECTION=USER CONNECTION= | +NAME -NAME ~NAME *
 *   members ROOM CURSOR LIMIT          read ROOM EPOCH FROM..TO
 *
 * A KEY or CURSOR that is empty is written as "-". A version that does not grow, a call given
 * twice, a room used after its close: the test fails. */
#ifndef TESTS_FAKE_BUS_H
#define TESTS_FAKE_BUS_H

#include "gateway/bus/bus.h"

void fake_bus_start(void);
void fake_bus_end(void); /* fails when something asked was not looked at, or a call not completed */

struct bus *fake_bus(void);
void fake_bus_set_id(const char *id); /* "gw" at the start */

/* The oldest thing asked that was not looked at must be this; its call, NULL where it has none. */
struct bus_call *fake_bus_asked(const char *line);
struct bus_call *fake_bus_asked_like(const char *beginning);
void fake_bus_asked_nothing(void);
/* Completes well whatever was asked; a room opens with that state. Until nothing more is asked. */
void fake_bus_complete(const struct bus_room_state *state);
/* The same, while ten seconds pass. */
void fake_bus_settle(void);
bool fake_bus_is_used(void); /* a room or user is open, or a call under way */
/* As bus_free: whatever was or is asked fails, then the rooms and users are gone. */
void fake_bus_drop(void);

void fake_bus_done(struct bus_call *call, const struct bus_result *result);
void fake_bus_fail(struct bus_call *call, enum bus_err err); /* or BUS_OK without anything */
void fake_bus_opened(struct bus_call *call, const struct bus_room_state *state);

/* What the gateway gave as room_ctx; the room must be open. */
void *fake_bus_room(const char *name);
void *fake_bus_user(const char *name);
const struct bus_events *fake_bus_events(void);

/* An epoch of one letter, 16 times. */
struct bus_position fake_position(char epoch, uint64_t offset);

#endif

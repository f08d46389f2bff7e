/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names on D-Bus, on which the daemon and reclaimctl agree. Documentation/dbus/org.reclaim1.rst says what they mean. */
#ifndef RECLAIM_BUS_H
#define RECLAIM_BUS_H

#define BUS_NAME "org.reclaim1"
#define BUS_PATH "/org/reclaim1"
#define BUS_INTERFACE "org.reclaim1.Manager"
#define BUS_ERROR "org.reclaim1.Error."
#define BUS_SOCKET "/run/reclaimd/bus"

#define BUS_E_ARGUMENT BUS_ERROR "InvalidArgument"
#define BUS_E_DENIED BUS_ERROR "AccessDenied"
#define BUS_E_GONE BUS_ERROR "NoSuchProcess"
#define BUS_E_BUSY BUS_ERROR "Busy"
#define BUS_E_LIMIT BUS_ERROR "LimitExceeded"
#define BUS_E_CONFIGURATION BUS_ERROR "BadConfiguration"
#define BUS_E_FAILED BUS_ERROR "Failed"

#endif

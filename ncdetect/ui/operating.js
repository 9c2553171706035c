// operating

/** Loaded into a training before the program: it ends, its state saved, when the study that started it is gone. */
process.on('disconnect', () => process.kill(process.pid, 'SIGTERM'));
process.channel?.unref(); // waiting for that keeps no training from ending

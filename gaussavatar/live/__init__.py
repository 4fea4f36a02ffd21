"""An avatar served live: sound by WebRTC, motion or pictures with it, speech from microphones, files and programs."""

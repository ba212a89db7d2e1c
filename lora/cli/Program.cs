using CudaLora.Cli;

return Cli.Run(args, Terminal.OfProcess());

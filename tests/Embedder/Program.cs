using CudaLora.Tests.Embedder;

foreach (var line in HostWork.Run(args[0], args[1], args[2])) Console.WriteLine(line);

"""What a training of the language stage takes: parameters, arithmetic, memory, hours and money, before it is begun."""
